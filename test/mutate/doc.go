// Command mutate checks whether the tests of a package notice wrong code (mutation
// testing). It changes one place at a time (== becomes !=, && becomes ||, true
// becomes false, break becomes continue, and so on), runs the tests of the package,
// and lists the changes with which no test fails.
//
//	go run ./test/mutate authz envoy/denialbody.go
//
// One test binary contains all changes, and an environment variable activates one of
// them: a build for each change would take ten times as long. Constants are not
// changed.
//
// equivalent.txt lists the changes that no test can notice, with the reasons.
package main
