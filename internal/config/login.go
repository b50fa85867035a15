package config

import (
	"errors"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// loginSection has the method that obtains a Vault token: exactly one of these. Secrets
// are in files, which are read at each login.
type loginSection struct {
	AppRole    *appRoleSection    `yaml:"approle,omitempty"`
	Kubernetes *kubernetesSection `yaml:"kubernetes,omitempty"`
	JWT        *jwtSection        `yaml:"jwt,omitempty"`
	Cert       *certSection       `yaml:"cert,omitempty"`
	Userpass   *userpassSection   `yaml:"userpass,omitempty"`
}

type appRoleSection struct {
	RoleID       string `yaml:"role_id,omitempty" doc:"text: role id; this or role_id_file must be set"`
	RoleIDFile   string `yaml:"role_id_file,omitempty" doc:"path: file with the role id"`
	SecretIDFile string `yaml:"secret_id_file" doc:"path: file with the secret id, read at each login"`
	Wrapped      bool   `yaml:"wrapped,omitempty" doc:"switch: the file holds a wrapping token that gives the secret id once"`
	Mount        string `yaml:"mount,omitempty" doc:"path: of the auth method below auth/"`
	Namespace    string `yaml:"namespace,omitempty" doc:"path: namespace of the auth method if it differs from that of the vault object; root for the root"`
}

type kubernetesSection struct {
	Role      string `yaml:"role" doc:"name: role of the auth method"`
	TokenFile string `yaml:"token_file,omitempty" doc:"path: token of the service account, read at each login"`
	Mount     string `yaml:"mount,omitempty" doc:"path: of the auth method below auth/"`
	Namespace string `yaml:"namespace,omitempty" doc:"path: namespace of the auth method"`
}

type jwtSection struct {
	Role      string `yaml:"role" doc:"name: role of the auth method"`
	TokenFile string `yaml:"token_file" doc:"path: signed token, read at each login"`
	Mount     string `yaml:"mount,omitempty" doc:"path: of the auth method below auth/"`
	Namespace string `yaml:"namespace,omitempty" doc:"path: namespace of the auth method"`
}

type certSection struct {
	Role      string `yaml:"role,omitempty" doc:"name: certificate role; empty lets the server find one for client_cert_file"`
	Mount     string `yaml:"mount,omitempty" doc:"path: of the auth method below auth/"`
	Namespace string `yaml:"namespace,omitempty" doc:"path: namespace of the auth method"`
}

type userpassSection struct {
	Username     string `yaml:"username" doc:"name: of the user"`
	PasswordFile string `yaml:"password_file" doc:"path: file with the password, read at each login"`
	Mount        string `yaml:"mount,omitempty" doc:"path: of the auth method below auth/"`
	Namespace    string `yaml:"namespace,omitempty" doc:"path: namespace of the auth method"`
}

// IsZero leaves an empty section out of config show.
func (s loginSection) IsZero() bool { return s == loginSection{} }

// login returns the given login, nil for none.
func (s *loginSection) login() (login.Method, error) {
	var all []login.Method
	place := func(mount, method, namespace string) login.Mount {
		if mount == "" {
			mount = method
		}
		return login.Mount{Path: mount, Namespace: namespace}
	}
	if e := s.AppRole; e != nil {
		all = append(all, login.AppRole{
			Mount:  place(e.Mount, "approle", e.Namespace),
			RoleID: e.RoleID, RoleIDFile: e.RoleIDFile, SecretIDFile: e.SecretIDFile, Wrapped: e.Wrapped,
		})
	}
	if e := s.Kubernetes; e != nil {
		file := e.TokenFile
		if file == "" {
			file = login.ServiceAccountTokenFile
		}
		all = append(all, login.Kubernetes{Mount: place(e.Mount, "kubernetes", e.Namespace), Role: e.Role, TokenFile: file})
	}
	if e := s.JWT; e != nil {
		all = append(all, login.JWT{Mount: place(e.Mount, "jwt", e.Namespace), Role: e.Role, TokenFile: e.TokenFile})
	}
	if e := s.Cert; e != nil {
		all = append(all, login.Cert{Mount: place(e.Mount, "cert", e.Namespace), Role: e.Role})
	}
	if e := s.Userpass; e != nil {
		all = append(all, login.Userpass{Mount: place(e.Mount, "userpass", e.Namespace), Username: e.Username, PasswordFile: e.PasswordFile})
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	}
	return all[0], errors.New("login: give one of approle, kubernetes, jwt, cert and userpass, not several")
}

// showLogin is the opposite of login.
func showLogin(l login.Method) (s loginSection) {
	switch l := l.(type) {
	case login.AppRole:
		s.AppRole = &appRoleSection{l.RoleID, l.RoleIDFile, l.SecretIDFile, l.Wrapped, l.Mount.Path, l.Mount.Namespace}
	case login.Kubernetes:
		s.Kubernetes = &kubernetesSection{l.Role, l.TokenFile, l.Mount.Path, l.Mount.Namespace}
	case login.JWT:
		s.JWT = &jwtSection{l.Role, l.TokenFile, l.Mount.Path, l.Mount.Namespace}
	case login.Cert:
		s.Cert = &certSection{l.Role, l.Mount.Path, l.Mount.Namespace}
	case login.Userpass:
		s.Userpass = &userpassSection{l.Username, l.PasswordFile, l.Mount.Path, l.Mount.Namespace}
	}
	return s
}

// everyLogin has all methods, for the reference.
func everyLogin() loginSection {
	return loginSection{
		AppRole:    &appRoleSection{Mount: "approle"},
		Kubernetes: &kubernetesSection{TokenFile: login.ServiceAccountTokenFile, Mount: "kubernetes"},
		JWT:        &jwtSection{Mount: "jwt"},
		Cert:       &certSection{Mount: "cert"},
		Userpass:   &userpassSection{Mount: "userpass"},
	}
}
