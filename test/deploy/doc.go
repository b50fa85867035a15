// Package deploy runs what is in the folder deploy as a reader would: the
// examples on a real Envoy, the packages in a root folder of their own, and the
// chart's configuration in the real binary.
package deploy
