// Package server is the life cycle of the listeners: the gRPC server and its limits, the
// probes, and the order in which they start and stop. It does not depend on the services.
package server
