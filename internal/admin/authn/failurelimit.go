package authn

import (
	"hash/maphash"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

const (
	// failureBurst failures of one network are answered at once, then one each
	// failureInterval.
	failureBurst    = 20
	failureInterval = 10 * time.Second
	// allFailures are answered a second, ten seconds of them at once, whatever
	// networks they come from.
	allFailures = 20
	// failureSlots bounds what is remembered. Networks that share a slot are
	// counted together, which costs them no more than an answer to a failure.
	failureSlots = 1024
)

// failures says which failures to authenticate are answered as such, and which by
// "too many". It has no say in calls that are good.
type failures struct {
	seed  maphash.Seed
	slots [failureSlots]*rate.Limiter
	all   *rate.Limiter
}

func newFailures() *failures {
	f := &failures{seed: maphash.MakeSeed(), all: rate.NewLimiter(allFailures, 10*allFailures)}
	for i := range f.slots {
		f.slots[i] = rate.NewLimiter(rate.Every(failureInterval), failureBurst)
	}
	return f
}

// allow counts one failure of an address.
func (f *failures) allow(remote string, now time.Time) bool {
	slot := maphash.Comparable(f.seed, network(remote)) % failureSlots
	return f.slots[slot].AllowN(now, 1) && f.all.AllowN(now, 1)
}

// network is the address, or for IPv6 the /64 that one host has to itself. What is
// no address, such as a Unix socket, is one network.
func network(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(ip, bits).Masked()
}
