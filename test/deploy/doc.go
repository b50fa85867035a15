// Package deploy tests the folder deploy: it runs the examples on a real Envoy, the
// packages in a root folder of their own, and vault-authz with the configuration of
// the chart.
package deploy
