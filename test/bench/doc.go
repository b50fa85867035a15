// Command bench measures what a check costs the server, beside a stub in the
// same run: server CPU per call over real gRPC connections on loopback, in
// rounds that alternate between the servers so that both see the same machine.
//
// The stub, noop, is a stock grpc-go server whose Check returns an empty allow.
// Ratios to it are what counts: absolute times depend on the machine.
package main
