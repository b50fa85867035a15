// Package envoy is the door to Envoy: it reads a CheckRequest into what the
// decision works on, writes the decision as a CheckResponse, and serves both
// over gRPC. It is the only package that knows Envoy's protobuf types.
//
// The rules it holds to (Envoy's ext_authz filter, 1.36 to 1.40):
//
//   - A denial is an answer, never a failed call: what a failed call means is up
//     to the gateway's failure_mode_allow. An empty answer allows, so answers
//     are made by the constructors in respond.go only.
//   - Every header that is set says so twice, by append and by append_action:
//     which of the two counts depends on Envoy's version.
//   - Envoy does not check names and values by default, so every one that is
//     emitted is checked here.
package envoy
