// Package app wires the service together and runs it: build.go knows every package and
// gives each what it needs; serve.go runs the parts until they are told to stop. Nothing is
// decided here.
package app
