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
	Protocol   string  `json:"protocol" rule:"required,nullable,oneof=http|https" doc:"word: like host and port, null in answers where it is in memory"`
	Host       string  `json:"host" rule:"required,nullable,check=host"`
	Port       int     `json:"port" rule:"required,nullable,max=65535"`
	Mount      string  `json:"mount" rule:"required,nullable,check=mount" flag:": PATH at which the KV engine is mounted" doc:"path: of a KV engine; sys, auth, identity and cubbyhole are refused, anywhere in it, and so is the mount of the state"`
	Prefix     *string `json:"prefix,omitempty" rule:"check=mount" flag:": FOLDER in the mount that the credentials are in, for a mount that is shared" doc:"path: a folder in the mount, for a mount that is shared; sys, auth, identity and cubbyhole are refused, anywhere in it"`
	VaultToken string  `json:"vault_token,omitempty" rule:"required,secret,alias=token,check=visible" doc:"text: to be given again where protocol, host, port, mount, prefix, kv or namespace changes"`
	KV         string  `json:"kv,omitempty" rule:"nullable,oneof=v1|v2" flag:": v1 or v2, the version of the KV engine; v1 by default"`
	Namespace  *string `json:"namespace,omitempty" rule:"check=mount" flag:": NAMESPACE of the Vault"`
	Secrets    string  `json:"secrets,omitempty" rule:"nullable,oneof=plain|hashed" flag:": plain or hashed, the form in which secret tokens are stored; plain by default, as Kong reads no other" doc:"word: the form in which secret tokens are stored; Kong reads plain ones only"`
	// TokenPrefix is an [authz.TokenPrefix].
	TokenPrefix *string `json:"token_prefix,omitempty" flag:": PREFIX of the tokens that are made, so that scanners recognise them, like va_live; none by default" doc:"text: begins the tokens that are made, so that scanners recognise them, and adds a checksum, by which a mistyped access token is refused without a read of Vault; 2 to 32 letters, digits and underscores"`
	CreatedAt   int64   `json:"created_at,omitempty" rule:"time"`
	UpdatedAt   int64   `json:"updated_at,omitempty" rule:"time"`
}

// A VaultRef names a vault object.
type VaultRef struct {
	ID   string `json:"id"`
	Name string `json:"name" rule:"required"`
}
