package parts

import (
	"context"
	"os"
	"os/exec"
)

// Helm runs a Helm and returns its output, also after an error. Its files go into a folder,
// and env is added to the environment of this process.
func Helm(ctx context.Context, binary, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, binary, args...)
	// Do not use the configuration of the user's Helm.
	cmd.Env = append(append(os.Environ(), "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
