package gateways

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// command is a line of a tutorial with a request, and the status that it says.
var command = regexp.MustCompile(`(?m)^curl -i (.*\$GATEWAY.*?) +# (\d{3})$`)

// checkTutorial runs the requests of a tutorial against a gateway.
func checkTutorial(t *testing.T, name, address string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "tutorials", name))
	must(t, err)
	commands := command.FindAllSubmatch(raw, -1)
	if len(commands) < 5 {
		t.Fatalf("%d requests with a status, want at least 5", len(commands))
	}
	for _, c := range commands {
		t.Run(string(c[1]), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", "exec curl --max-time 30 -sS -o /dev/null -w '%{http_code}' "+string(c[1]))
			cmd.Env = append(os.Environ(), "GATEWAY="+address)
			got, err := cmd.CombinedOutput()
			if err != nil || string(got) != string(c[2]) {
				t.Errorf("%s, %v; want %s", got, err, c[2])
			}
		})
	}
}
