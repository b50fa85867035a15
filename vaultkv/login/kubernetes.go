package login

import (
	"context"
	"errors"
)

// ServiceAccountTokenFile is where Kubernetes puts the token of a pod's service
// account.
const ServiceAccountTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Kubernetes logs in with the token of a service account.
type Kubernetes struct {
	Mount Mount
	Role  string
	// TokenFile contains the token of the service account, which Kubernetes replaces
	// before it expires. Empty means [ServiceAccountTokenFile].
	TokenFile string
}

var _ Method = Kubernetes{}

// Name implements [Method].
func (Kubernetes) Name() string { return "kubernetes" }

func (m Kubernetes) mount() Mount { return m.Mount }

func (m Kubernetes) validate(*Config) error {
	return errors.Join(m.Mount.validate(), required("role", m.Role), plainText("role", m.Role))
}

func (m Kubernetes) request(context.Context, *Session) (string, map[string]any, error) {
	file := m.TokenFile
	if file == "" {
		file = ServiceAccountTokenFile
	}
	return jwtRequest(m.Role, file, "token of the service account")
}

func (Kubernetes) advice(a *Answer) string {
	return adviceFor(a, [][2]string{
		{"invalid role name", "there is no role of this name; correct role, or create the role"},
		{"service account name not authorized", "the role is not for this service account; add it to the role's bound_service_account_names"},
		{"namespace not authorized", "the role is not for this Kubernetes namespace; add it to the role's bound_service_account_namespaces"},
		{"audience", "the token of the service account is for another audience; correct the role's audience or that of the projected token"},
		{"expired", "the token of the service account has expired; check that its file is replaced, and the clocks"},
		// The server does not say why a token review failed.
	}, "Kubernetes does not confirm the token of the service account (its pod or the service account may be gone), or the server cannot ask Kubernetes to review tokens (system:auth-delegator), which its log says at level debug; or "+checkMount(Kubernetes{}))
}

func jwtRequest(role, file, what string) (string, map[string]any, error) {
	token, err := readSecret(file, what)
	if err != nil {
		return "", nil, badFile(err)
	}
	return "login", map[string]any{"role": role, "jwt": token}, nil
}
