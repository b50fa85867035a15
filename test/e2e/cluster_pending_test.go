package e2e

import (
	"os"
	"testing"
)

// pendingOnCluster are the scenarios on a cluster that do not hold yet, with what
// was measured. CLUSTER_PENDING=1 runs them all the same. A line goes when its
// scenario holds, and this file with the last one.
func pendingOnCluster() map[string]string {
	return map[string]string{}
}

func skipPending(t *testing.T, scenario string) {
	t.Helper()
	if today, ok := pendingOnCluster()[scenario]; ok && os.Getenv("CLUSTER_PENDING") == "" {
		t.Skipf("does not hold yet (%s); CLUSTER_PENDING=1 runs it", today)
	}
}
