package api

// The versions of the KV engine.
const (
	KV1 = "v1"
	KV2 = "v2"
)

// What a vault object has of the secret tokens that are written to it.
const (
	// SecretsPlain is the secret itself, as Kong reads it.
	SecretsPlain = "plain"
	// SecretsHashed is its SHA-256.
	SecretsHashed = "hashed"
)

// A Vault is a vault object. Answers have a mask for its token. The announcement of
// 2019 calls that token, too.
type Vault struct {
	ID         string  `json:"id,omitempty" rule:"check=uuid"`
	Name       string  `json:"name" rule:"required,check=name" flag:": NAME to have from now on"`
	Protocol   string  `json:"protocol" rule:"required,oneof=http|https"`
	Host       string  `json:"host" rule:"required,check=host"`
	Port       int     `json:"port" rule:"required,max=65535"`
	Mount      string  `json:"mount" rule:"required,check=mount" flag:": PATH at which the KV engine is mounted"`
	Prefix     *string `json:"prefix,omitempty" rule:"check=mount" flag:": FOLDER in the mount that the credentials are in, for a mount that is shared"`
	VaultToken string  `json:"vault_token,omitempty" rule:"required,secret,alias=token,check=visible"`
	KV         string  `json:"kv,omitempty" rule:"oneof=v1|v2" flag:": v1 or v2, the version of the KV engine; v1 by default"`
	Namespace  *string `json:"namespace,omitempty" rule:"check=mount" flag:": NAMESPACE of the Vault"`
	Secrets    string  `json:"secrets,omitempty" rule:"oneof=plain|hashed" flag:": plain or hashed, the form in which secret tokens are stored; plain by default, as Kong reads no other"`
	// TokenPrefix is an [authz.TokenPrefix].
	TokenPrefix *string `json:"token_prefix,omitempty" flag:": PREFIX of the tokens that are made, so that scanners recognise them, like va_live; none by default"`
	CreatedAt   int64   `json:"created_at,omitempty" rule:"time"`
	UpdatedAt   int64   `json:"updated_at,omitempty" rule:"time"`
}

// A VaultRef names a vault object.
type VaultRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}
