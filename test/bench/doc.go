// Command bench measures what a check costs, beside a stub in the same run.
//
// The stub, noop, is a stock grpc-go server whose Check returns an empty allow.
// Each server is a process of its own, the product as it is shipped, metrics and
// decision log included; the load comes from this process. Rounds alternate
// between the servers so that all see the same machine. Ratios are what counts:
// absolute times depend on the machine.
//
// The open loop is what changes are judged by: requests at a fixed rate, through a real
// Envoy and straight. The closed loops tell what a server does at the most.
//
// Results are lines in the format of Go's benchmarks, for benchstat (make bench):
//
//	go run ./test/bench                                   # everything but state and idle
//	go run ./test/bench -only open -rates 1500            # some of it
//	go run ./test/bench -only state                       # two replicas with 100 000 consumers
//	go run ./test/bench -only idle                        # starts, sweeps, and ten replicas without requests
//	go run ./test/bench -try 'grpc.NumStreamWorkers(2)'   # what a grpc-go setting changes
//	go run ./test/bench -try /path/to/vault-authz         # what a change changes
//	go run ./test/bench -target host:10000 -rates 2000    # open-loop load on a gateway
package main
