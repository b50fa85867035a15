// Command bench measures what a check costs, beside a stub in the same run.
//
// The stub, noop, is a stock grpc-go server whose Check returns an empty allow.
// Each server is a process of its own, the product as it is shipped, metrics and
// decision log included; the load comes from this process. Rounds alternate
// between the servers so that all see the same machine, and each figure is
// compared with that of noop in the same round. Ratios are what counts: absolute
// times depend on the machine.
//
//	go run ./test/bench                                   # everything, as one table
//	go run ./test/bench -only calls,burst                 # some of it
//	go run ./test/bench -only state                       # two replicas with 100 000 consumers
//	go run ./test/bench -write docs/explanation/performance.md # into the document
//	go run ./test/bench -try 'grpc.NumStreamWorkers(2)'   # what a grpc-go setting changes
//	go run ./test/bench -target host:10000 -rate 2000     # open-loop load on a gateway
package main
