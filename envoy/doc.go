// Package envoy is Envoy's external authorization service: it decodes a CheckRequest, writes
// the decision as a CheckResponse, and serves both over gRPC. It is the only package that
// uses Envoy's protobuf types.
//
// Its rules for Envoy's ext_authz filter, 1.36 to 1.40:
//
//   - A denial is an answer, never a failed call: for a failed call failure_mode_allow of the
//     gateway decides. An empty answer allows, so only respond.go creates answers.
//   - Every header to set has append and append_action: which of the two Envoy uses depends
//     on its version.
//   - Envoy does not check names and values by default, so this package checks all of them.
package envoy
