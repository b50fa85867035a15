// Package openloop puts load on a server at a fixed rate. Requests leave on
// schedule, whatever becomes of those before them, and the latency of each is
// counted from when it was due: a server that stalls is charged with all that it
// kept waiting, as its users would. A closed loop, where the next request waits
// for the answer to the last, forgets them (coordinated omission).
package openloop
