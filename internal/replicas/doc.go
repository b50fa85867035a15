// Package replicas lets the replicas that share a state know of each other.
//
// Once a minute each replica writes what it is into one entry of the state's mount, replicas,
// beside what the others wrote, and reads them with it. A replica that stops takes itself out.
// One that ends otherwise, or cannot reach the server, stays in the entry for an hour, and is
// reported as missing after three minutes.
//
// Only people read this, and no decision, lease or change depends on it. The times in the entry
// are those of the clock of each replica; whether one is silent is judged by when this replica
// read something new of it.
package replicas
