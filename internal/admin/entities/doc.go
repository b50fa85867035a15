// Package entities turns the declarations of the configuration file and the records of the
// state into what a decision is made of: policies and vault objects at once ([Build]), and
// consumers one by one ([Consumers]). Where records do not fit together, requests are denied.
package entities
