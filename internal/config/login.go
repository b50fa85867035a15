package config

import (
	"errors"
	"reflect"

	"github.com/vault-authz/vault-authz/internal/fieldcopy"
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
	mountSection `yaml:",inline"`
}

type kubernetesSection struct {
	Role         string `yaml:"role" doc:"name: role of the auth method"`
	TokenFile    string `yaml:"token_file,omitempty" doc:"path: token of the service account, read at each login"`
	mountSection `yaml:",inline"`
}

type jwtSection struct {
	Role         string `yaml:"role" doc:"name: role of the auth method"`
	TokenFile    string `yaml:"token_file" doc:"path: signed token, read at each login"`
	mountSection `yaml:",inline"`
}

type certSection struct {
	Role         string `yaml:"role,omitempty" doc:"name: certificate role; empty lets the server find one for client_cert_file"`
	mountSection `yaml:",inline"`
}

type userpassSection struct {
	Username     string `yaml:"username" doc:"name: of the user"`
	PasswordFile string `yaml:"password_file" doc:"path: file with the password, read at each login"`
	mountSection `yaml:",inline"`
}

// mountSection says where an auth method is. All of them have the same settings.
type mountSection struct {
	Mount     string `yaml:"mount,omitempty" field:"Mount.Path" doc:"path: of the auth method below auth/"`
	Namespace string `yaml:"namespace,omitempty" field:"Mount.Namespace" doc:"path: namespace of the auth method if it differs from that of the vault object; root for the root"`
}

// IsZero leaves an empty section out of config show.
func (s loginSection) IsZero() bool { return s == loginSection{} }

// loginMethods are the methods with their defaults. Their names are those of the sections.
func loginMethods() []login.Method {
	return []login.Method{
		login.AppRole{Mount: login.Mount{Path: "approle"}},
		login.Kubernetes{Mount: login.Mount{Path: "kubernetes"}, TokenFile: login.ServiceAccountTokenFile},
		login.JWT{Mount: login.Mount{Path: "jwt"}},
		login.Cert{Mount: login.Mount{Path: "cert"}},
		login.Userpass{Mount: login.Mount{Path: "userpass"}},
	}
}

// sectionOf returns the section of a method, a pointer that may be nil, and the pairs of the two.
func (s *loginSection) sectionOf(m login.Method) (reflect.Value, fieldcopy.Fields) {
	all := reflect.ValueOf(s).Elem()
	section := all.FieldByIndex(fieldsOf(all.Type())[m.Name()])
	return section, fieldcopy.Of(section.Type().Elem(), reflect.TypeOf(m))
}

// login returns the given login, nil for none.
func (s *loginSection) login() (login.Method, error) {
	var all []login.Method
	for _, m := range loginMethods() {
		section, fields := s.sectionOf(m)
		if section.IsNil() {
			continue
		}
		given := pointerTo(m)
		fields.Forth(section.Interface(), given.Interface())
		m, _ = given.Elem().Interface().(login.Method)
		all = append(all, m)
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	}
	return all[0], errors.New("login: give one of approle, kubernetes, jwt, cert and userpass, not several")
}

// show is the opposite of login, for several methods.
func (s *loginSection) show(all ...login.Method) {
	for _, m := range all {
		section, fields := s.sectionOf(m)
		section.Set(reflect.New(section.Type().Elem()))
		fields.Back(section.Interface(), pointerTo(m).Interface())
	}
}

func pointerTo(m login.Method) reflect.Value {
	p := reflect.New(reflect.TypeOf(m))
	p.Elem().Set(reflect.ValueOf(m))
	return p
}
