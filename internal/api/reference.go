package api

// Ref refers to an entity by its id.
type Ref struct {
	ID string `json:"id"`
}
