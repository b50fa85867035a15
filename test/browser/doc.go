// Package browser tests the page of the admin API in a real browser, as a person uses it:
// vault-authz behind a real Envoy, with a real OpenBao or Vault, and Chromium.
//
// Things on the page are found as a screen reader finds them, by role and name. Every
// test fails if the page writes an error into the console, throws, or breaks its own
// Content-Security-Policy.
package browser
