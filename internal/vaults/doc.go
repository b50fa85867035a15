// Package vaults keeps vault objects open: each has an engine and a cache of its own in front of
// it, so that nothing found over one connection or in one mount can answer for another.
//
// A [Set] is replaced step by step while decisions go on. A [Change] opens what is new, and is
// put in force as a whole; what it replaces stays open until the decisions that began with it
// have ended.
package vaults
