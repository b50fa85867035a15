package parts

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// KubernetesVersion is the version of Kubernetes whose API server the tests use.
const KubernetesVersion = "1.37.2"

// KubernetesConfig configures the API server of Kubernetes.
type KubernetesConfig struct {
	// APIServer, Etcd and Kubectl are the programs, and Dir an existing folder for
	// their files.
	APIServer, Etcd, Kubectl, Dir string
}

// A Kubernetes is a running API server with an etcd of its own. It has no controllers and
// no nodes: it accepts objects, and nothing acts on them.
type Kubernetes struct {
	*Process
	// URL is the address of the API server, and CAFile the authority of its certificate.
	URL, CAFile string
	// Kubeconfig is the file with which a client has all rights. It refers to no other file.
	Kubeconfig string

	etcd         *Process
	kubectl, dir string
}

// StartKubernetes starts an API server and waits until it is ready.
func StartKubernetes(ctx context.Context, c KubernetesConfig) (*Kubernetes, error) {
	store, err := Address(ctx, 0)
	if err != nil {
		return nil, err
	}
	address, err := Address(ctx, 0)
	if err != nil {
		return nil, err
	}
	k := &Kubernetes{
		URL: "https://" + address, CAFile: filepath.Join(c.Dir, "ca.pem"), Kubeconfig: filepath.Join(c.Dir, "kubeconfig"),
		kubectl: c.Kubectl, dir: c.Dir,
	}
	if err := k.identify(); err != nil {
		return nil, err
	}
	k.etcd, err = Start(Command{Name: "etcd", Path: c.Etcd, Dir: c.Dir, Args: []string{
		"--data-dir", filepath.Join(c.Dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", "http://" + store, "--advertise-client-urls", "http://" + store,
		"--listen-peer-urls", "http://127.0.0.1:0",
	}})
	if err != nil {
		return nil, err
	}
	if k.Process, err = Start(Command{Name: "kube-apiserver", Path: c.APIServer, Dir: c.Dir, Args: k.arguments(store, address)}); err != nil {
		k.etcd.Kill()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, StartLimit)
	defer cancel()
	err = Await(ctx, k.Process, func(ctx context.Context) error {
		_, err := k.Kubectl(ctx, "", "get", "--raw", "/readyz")
		return err
	})
	if err != nil {
		k.Kill()
		return nil, k.failed(err)
	}
	return k, nil
}

// identify writes the certificates, the keys and the kubeconfig.
func (k *Kubernetes) identify() error {
	authority, err := NewAuthority("kubernetes")
	if err != nil {
		return err
	}
	server, err := authority.Issue(nil, "127.0.0.1")
	if err != nil {
		return err
	}
	// It signs the tokens of service accounts.
	accounts, err := authority.Issue(nil)
	if err != nil {
		return err
	}
	admin, err := authority.Issue(func(c *x509.Certificate) { c.Subject.Organization = []string{"system:masters"} })
	if err != nil {
		return err
	}
	encode := base64.StdEncoding.EncodeToString
	for name, content := range map[string][]byte{
		k.CAFile: authority.PEM, k.file("server.pem"): server.Certificate, k.file("server.key"): server.Key,
		k.file("accounts.pem"): accounts.Certificate, k.file("accounts.key"): accounts.Key,
		k.Kubeconfig: k.kubeconfig(authority.PEM, fmt.Sprintf("{client-certificate-data: %s, client-key-data: %s}", encode(admin.Certificate), encode(admin.Key))),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// kubeconfig returns a kubeconfig for a user.
func (k *Kubernetes) kubeconfig(authority []byte, user string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: test, user: %s}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
`, k.URL, base64.StdEncoding.EncodeToString(authority), user)
}

func (k *Kubernetes) file(name string) string { return filepath.Join(k.dir, name) }

func (k *Kubernetes) arguments(store, address string) []string {
	_, port, _ := strings.Cut(address, ":")
	return []string{
		"--etcd-servers", "http://" + store,
		"--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", port,
		"--tls-cert-file", k.file("server.pem"), "--tls-private-key-file", k.file("server.key"),
		"--client-ca-file", k.CAFile, "--cert-dir", k.dir,
		"--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file", k.file("accounts.pem"), "--service-account-signing-key-file", k.file("accounts.key"),
		"--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16", "--endpoint-reconciler-type", "none",
	}
}

// Kubectl runs kubectl with an input and returns its output.
func (k *Kubernetes) Kubectl(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.kubectl, args...)
	// It keeps what the API server offers in the home folder.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+k.Kubeconfig, "HOME="+k.dir)
	cmd.Stdin = strings.NewReader(input)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, messages.String())
	}
	return out.String(), nil
}

// Apply creates or changes objects, given in YAML or JSON. Unknown fields are errors.
func (k *Kubernetes) Apply(ctx context.Context, objects string, args ...string) error {
	_, err := k.Kubectl(ctx, objects, append([]string{"apply", "--validate=strict", "--filename", "-"}, args...)...)
	return err
}

// Define adds custom resources, given as files with their definitions, and waits until the
// API server has them.
func (k *Kubernetes) Define(ctx context.Context, files ...string) error {
	// A definition can be too large for the annotation of a client-side apply.
	args := []string{"apply", "--server-side"}
	for _, f := range files {
		args = append(args, "--filename", f)
	}
	if _, err := k.Kubectl(ctx, "", args...); err != nil {
		return err
	}
	_, err := k.Kubectl(ctx, "", "wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout", StartLimit.String())
	return err
}

// Token returns a token for a service account. The arguments are those of kubectl.
func (k *Kubernetes) Token(ctx context.Context, namespace, account string, args ...string) (string, error) {
	out, err := k.Kubectl(ctx, "", slices.Concat([]string{"create", "token", account, "--namespace", namespace}, args)...)
	return strings.TrimSpace(out), err
}

// Account writes a kubeconfig with the rights of a service account, as a program in one of
// its pods has them, and returns the path. It refers to no other file.
func (k *Kubernetes) Account(ctx context.Context, namespace, account string) (string, error) {
	token, err := k.Token(ctx, namespace, account)
	if err != nil {
		return "", err
	}
	authority, err := os.ReadFile(k.CAFile)
	if err != nil {
		return "", err
	}
	file := k.file("kubeconfig-" + namespace + "-" + account)
	return file, os.WriteFile(file, k.kubeconfig(authority, fmt.Sprintf("{token: %q}", token)), 0o600)
}

// Kill kills the API server and its etcd.
func (k *Kubernetes) Kill() {
	k.Process.Kill()
	k.etcd.Kill()
}
