package vaultkv

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/internal/kvpath"
)

// ValidateMount returns an error for a string that cannot be the path of a KV mount.
// Vault's own paths are refused in every position, because a path may begin with the
// names of namespaces. The credentials of such a "mount" would be policies or tokens.
func ValidateMount(mount string) error {
	if !kvpath.IsPath(mount) {
		return fmt.Errorf("%q is not the path of a mount: give plain segments without a slash at either end, like kong-auth", mount)
	}
	if own := vaultsOwn(mount); own != "" {
		return fmt.Errorf("%q is refused: Vault keeps %q for itself, behind the name of a namespace too; give the path of a KV engine", mount, own)
	}
	return nil
}

// validatePrefix returns an error for a string that cannot be a folder in a mount. Vault's
// own paths are refused here too: the configured mount may be the name of a namespace.
func validatePrefix(prefix string) error {
	switch {
	case prefix == "":
		return nil
	case !kvpath.IsPath(prefix):
		return fmt.Errorf("%q is not a folder in the mount: give plain segments without a slash at either end, like team-a/kong-auth", prefix)
	case vaultsOwn(prefix) != "":
		return fmt.Errorf("%q is refused: Vault keeps %q for itself, and a mount may turn out to be a namespace; give the folder another name", prefix, vaultsOwn(prefix))
	}
	return nil
}

// validateNamespace returns an error for a name that Vault does not let a namespace have.
func validateNamespace(namespace string) error {
	plain := strings.TrimSuffix(namespace, "/")
	switch {
	case namespace == "":
		return nil
	case !kvpath.IsPath(plain):
		return fmt.Errorf("%q is not a namespace: give plain segments, like team-a/prod", namespace)
	case vaultsOwn(plain) != "":
		return fmt.Errorf("%q is not a namespace: Vault keeps %q for itself", namespace, vaultsOwn(plain))
	}
	return nil
}

// vaultsOwn returns the segment of a path that Vault keeps for itself, empty if there is
// none. It ignores letter case.
func vaultsOwn(p string) string {
	for segment := range strings.SplitSeq(p, "/") {
		if slices.Contains([]string{"sys", "auth", "identity", "cubbyhole"}, strings.ToLower(segment)) {
			return segment
		}
	}
	return ""
}

// liesIn reports whether a mount is another mount or lies in it, each in its namespace.
func liesIn(namespace, mount, ofNamespace, ofMount string) bool {
	return strings.HasPrefix(fullPath(namespace, mount), fullPath(ofNamespace, ofMount))
}

// Reaches reports whether any path that c reads or writes lies in the given mount. It does
// not compare servers: one server may have many names.
func (c *Config) Reaches(namespace, mount string) bool {
	l := newLayout(*c)
	return liesIn(c.Namespace, l.data, namespace, mount) || liesIn(c.Namespace, l.metadata, namespace, mount)
}

// fullPath is the path from the root namespace, which is also called "root".
func fullPath(namespace, mount string) string {
	namespace = strings.ToLower(strings.Trim(namespace, "/"))
	if namespace == "root" {
		namespace = ""
	}
	return path.Join(namespace, strings.ToLower(mount)) + "/"
}
