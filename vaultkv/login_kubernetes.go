package vaultkv

import (
	"context"
	"errors"
)

// ServiceAccountTokenFile is where Kubernetes puts the token of a pod's service
// account.
const ServiceAccountTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Kubernetes logs in with the token of a service account.
type Kubernetes struct {
	LoginPlace
	Role string
	// TokenFile holds the token of the service account, which Kubernetes
	// replaces before it expires. Empty for [ServiceAccountTokenFile].
	TokenFile string
}

var _ Login = Kubernetes{}

// Method implements [Login].
func (Kubernetes) Method() string { return "kubernetes" }

func (l Kubernetes) place() LoginPlace { return l.LoginPlace }

func (l Kubernetes) validate(*Config) error {
	return errors.Join(l.LoginPlace.validate(), required("role", l.Role), plainText("role", l.Role))
}

func (l Kubernetes) request(context.Context, *session) (string, map[string]any, *Error) {
	file := l.TokenFile
	if file == "" {
		file = ServiceAccountTokenFile
	}
	return jwtRequest(l.Role, file, "token of the service account")
}

func (Kubernetes) advice(a *answer) string {
	return adviceFor(a, [][2]string{
		{"invalid role name", "there is no role of this name; correct role, or create the role"},
		{"service account name not authorized", "the role is not for this service account; add it to the role's bound_service_account_names"},
		{"namespace not authorized", "the role is not for this Kubernetes namespace; add it to the role's bound_service_account_namespaces"},
		{"audience", "the token of the service account is for another audience; correct the role's audience or that of the projected token"},
		{"lookup failed", "Kubernetes does not confirm the token of the service account: it may have expired, or the service account is gone"},
		{"expired", "the token of the service account has expired; check that its file is replaced, and the clocks"},
	}, "the server does not take the service account's token: it may not reach Kubernetes, or may not ask it for token reviews (system:auth-delegator); or "+noMethod(Kubernetes{}))
}

func jwtRequest(role, file, what string) (string, map[string]any, *Error) {
	token, err := readSecret(file, what)
	if err != nil {
		return "", nil, loginFile(err)
	}
	return "login", map[string]any{"role": role, "jwt": token}, nil
}
