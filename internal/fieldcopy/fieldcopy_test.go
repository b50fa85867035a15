package fieldcopy_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/internal/fieldcopy"
)

type word string

type written struct {
	Name      string
	Count     *int
	On        *bool
	Mode      *string `field:"Kind"`
	Hosts     []string
	Secret    *string `field:"-"`
	Elsewhere string
	Wait      *time.Duration `field:"Times.Wait"`
	Inner     inner          `field:"Part"`
	Denial    *denial
	Shared
}

type inner struct{ Depth *int }

type denial struct{ Text string }

// Shared is embedded.
type Shared struct{ File *string }

type used struct {
	Name   string
	Count  int
	On     bool
	Kind   word
	Hosts  []string
	Secret string
	Times  struct{ Wait time.Duration }
	Part   struct{ Depth int }
	Text   string
	File   string
}

func of() fieldcopy.Fields { return fieldcopy.Of(reflect.TypeFor[written](), reflect.TypeFor[used]()) }

func TestWhatIsGivenIsCopiedAndTheRestStays(t *testing.T) {
	t.Parallel()
	byDefault := used{Name: "any", Count: 3, On: true, Kind: "one", Hosts: []string{"a"}, Secret: "s", File: "f"}
	byDefault.Times.Wait, byDefault.Part.Depth = time.Second, 2

	got := byDefault
	of().Forth(&written{}, &got)
	if diff := cmp.Diff(byDefault, got); diff != "" {
		t.Errorf("nothing is given, and yet (-before +after):\n%s", diff)
	}

	zero, off, two, empty := 0, false, "two", ""
	of().Forth(&written{
		Count: &zero, On: &off, Mode: &two, Hosts: []string{}, Secret: &two, Elsewhere: two,
		Wait: new(time.Duration), Inner: inner{&zero}, Denial: &denial{"no"}, Shared: Shared{&empty},
	}, &got)
	want := used{Name: "any", Kind: "two", Hosts: []string{}, Secret: "s", Text: "no"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("zero values that are given (-want +got):\n%s", diff)
	}
}

func TestEveryFieldIsCopiedBack(t *testing.T) {
	t.Parallel()
	zero, off, empty := 0, false, ""
	var got written
	of().Back(&got, &used{Secret: "s"})
	want := written{Count: &zero, On: &off, Mode: &empty, Wait: new(time.Duration), Inner: inner{&zero}, Shared: Shared{&empty}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("no record for zero values (-want +got):\n%s", diff)
	}
	of().Back(&got, &used{Text: "no"})
	if want.Denial = (&denial{"no"}); !cmp.Equal(want, got) {
		t.Errorf("a record for a value (-want +got):\n%s", cmp.Diff(want, got))
	}
}
