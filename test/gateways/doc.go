// Package gateways tests the files of deploy/istio and deploy/envoy-gateway: Istio and Envoy
// Gateway make the configuration of a real Envoy from them, which asks a real vault-authz. Both
// run on a real API server, without nodes. What a test changes in a shipped file is named where
// it is loaded.
package gateways
