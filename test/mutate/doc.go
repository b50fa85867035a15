// Command mutate says whether the tests of a package notice when its code is
// wrong. It changes the code in one place at a time (== becomes !=, && becomes ||,
// true becomes false, a break becomes a continue, and so on), runs the tests of the
// package, and lists the changes that no test fails with.
//
//	go run ./test/mutate authz envoy/denial.go
//
// All changes are compiled into one test binary, which is told by a variable of its
// environment which of them to make: a build for each would take ten times as long.
// Constants, which a variable cannot change, stay as they are.
//
// A change that makes no difference that a test could see is named in
// equivalent.txt, with the reason.
package main
