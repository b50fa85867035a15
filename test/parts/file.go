package parts

import "os"

// ReplaceFile replaces a file in one step, as agents do: a reader finds the old
// content or the new one.
func ReplaceFile(name string, content []byte) error {
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
