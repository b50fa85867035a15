package kongimport

import (
	"maps"
	"slices"
	"strings"
)

// pages has the pages of the lists of one kind of entity.
type pages struct {
	// begun has the paths of lists with a next page.
	begun map[string]bool
	// ended counts last pages.
	ended int
}

// isPage says whether a value is a page of a list, as Kong answers.
func isPage(value any) bool {
	page, ok := value.(map[string]any)
	if !ok {
		return false
	}
	_, ok = page["data"].([]any)
	return ok
}

// page notes whether a list ends with this page or goes on.
func (f *File) page(key string, page map[string]any) {
	kind := strings.ReplaceAll(key, "-", "_")
	if data, _ := page["data"].([]any); key == "data" {
		kind = "" // it may be the last page of any list
		if len(data) > 0 {
			o, _ := data[0].(map[string]any)
			kind = recognised(o)
		}
	}
	of := f.pages[kind]
	if of == nil {
		of = &pages{begun: map[string]bool{}}
		f.pages[kind] = of
	}
	if empty(page["next"]) && empty(page["offset"]) {
		of.ended++
		return
	}
	path, _, _ := strings.Cut(nameOf(page["next"]), "?")
	of.begun[path] = true
}

// leavePages reports lists whose last page is missing.
func (f *File) leavePages() {
	spare := 0
	if of := f.pages[""]; of != nil {
		spare = of.ended
	}
	for _, kind := range slices.Sorted(maps.Keys(f.pages)) {
		of := f.pages[kind]
		missing := len(of.begun) - of.ended
		switch {
		case missing <= 0:
		case missing <= spare:
			spare -= missing
		default:
			f.leave("list", kind, "ends before its last page, so entities are missing; add the other pages, or get the list with size=1000")
		}
	}
}
