package parts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ModuleFiles returns the paths of files of a Go module, given as path@version. It downloads
// the module if necessary.
func ModuleFiles(ctx context.Context, version string, names ...string) ([]string, error) {
	// Outside of our module, whose requirements must not matter.
	return moduleFiles(ctx, os.TempDir(), version, names)
}

// RequiredFiles returns the paths of files of a Go module that the module in a folder
// requires. It downloads the module if necessary.
func RequiredFiles(ctx context.Context, folder, module string, names ...string) ([]string, error) {
	return moduleFiles(ctx, folder, module, names)
}

func moduleFiles(ctx context.Context, folder, version string, names []string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", version)
	cmd.Dir = folder
	out, err := cmd.Output()
	var m struct{ Dir, Error string }
	if err := errors.Join(err, json.Unmarshal(out, &m)); err != nil {
		return nil, fmt.Errorf("downloading %s: %w: %s", version, err, m.Error)
	}
	paths := make([]string, 0, len(names))
	for _, name := range names {
		paths = append(paths, filepath.Join(m.Dir, name))
	}
	return paths, nil
}

// The modules with the definitions of the custom resources that the chart may make.
const (
	CertManager        = "github.com/cert-manager/cert-manager@v1.21.2"
	PrometheusOperator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
)

// ChartResources returns the files with the definitions of the custom resources that the
// chart may make.
func ChartResources(ctx context.Context) ([]string, error) {
	certificates, err := ModuleFiles(ctx, CertManager, "deploy/crds/cert-manager.io_certificates.yaml")
	if err != nil {
		return nil, err
	}
	monitors, err := ModuleFiles(ctx, PrometheusOperator,
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
	)
	return append(certificates, monitors...), err
}
