package lastused

import (
	"maps"
	"testing"
)

// FuzzDecode: no bytes make the decoder panic, and what it understands is the same after it was
// encoded again.
func FuzzDecode(f *testing.F) {
	d := document{began: 7, forgotten: 3, last: map[key]minute{1: 9, 1 << 47: 8, 5: 9}}
	raw, err := d.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"format":1,"entries":"AQE="}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := decode(raw)
		if err != nil {
			return
		}
		raw, err = d.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(raw)
		if err != nil || again.began != d.began || again.forgotten != d.forgotten || !maps.Equal(again.last, d.last) {
			t.Errorf("%v became %v, %v", d, again, err)
		}
	})
}
