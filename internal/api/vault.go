package api

// A Vault is a vault object. Answers have a mask for its token.
type Vault struct {
	ID         string  `json:"id,omitempty"`
	Name       string  `json:"name"`
	Protocol   string  `json:"protocol"`
	Host       string  `json:"host"`
	Port       int     `json:"port"`
	Mount      string  `json:"mount"`
	Prefix     *string `json:"prefix,omitempty"`
	VaultToken string  `json:"vault_token,omitempty"`
	KV         string  `json:"kv,omitempty"`
	Namespace  *string `json:"namespace,omitempty"`
	CreatedAt  int64   `json:"created_at,omitempty"`
	UpdatedAt  int64   `json:"updated_at,omitempty"`
}

// A VaultRef names a vault object.
type VaultRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}
