package kongimport

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// An object is one entity of Kong as the file has it.
type object map[string]any

// A scope is the entity that a plugin or a route belongs to: the one around it, or the
// one that it refers to.
type scope struct{ service, route, consumer, group any }

type plugin struct {
	fields object
	scope  scope
}

type route struct {
	fields  object
	service any
	// to is the service by id and name, as far as the file has them.
	to reference
}

type acl struct {
	fields   object
	consumer any
}

// A File has the entities of a Kong configuration.
type File struct {
	vaults, consumers, services []object
	acls                        []acl
	plugins                     []plugin
	routes                      []route
	// configs are decK's shared plugin configurations by name.
	configs map[string]object
	// tags are those that the present document gives to all its entities.
	tags []any
	// pages are those of lists, by the kind of entity.
	pages map[string]*pages
	// credentials counts those of vault-auth.
	credentials int
	left        []Step
}

// A Part is one file, or the output of a call. Name is for people.
type Part struct {
	Name string
	Raw  []byte
}

// Parse reads decK files (YAML) and lists of Kong's Admin API (JSON): an object
// of lists, or any number of lists one after the other, as several calls write
// them. Its errors do not quote the file.
func Parse(parts ...Part) (*File, error) {
	f := &File{configs: map[string]object{}, pages: map[string]*pages{}}
	for _, part := range parts {
		documents, err := decode(part.Raw)
		for _, d := range documents {
			if err == nil {
				err = f.take(d)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.Name, err)
		}
	}
	f.resolve()
	f.leavePages()
	if f.credentials > 0 {
		f.leave("credential", "", fmt.Sprintf("%d token pairs are not imported: they stay in Vault, where this service reads them", f.credentials))
	}
	if len(f.vaults)+len(f.consumers)+len(f.services)+len(f.acls)+len(f.plugins)+len(f.routes)+len(f.left) == 0 {
		return nil, errors.New("the files contain no entities of Kong; give a decK file or lists of Kong's Admin API")
	}
	return f, nil
}

// take takes a document: an object, a list of entities, or a list of pages.
func (f *File) take(d any) error {
	switch d := d.(type) {
	case map[string]any:
		f.document(d)
	case []any:
		if len(d) == 0 || slices.ContainsFunc(d, func(e any) bool { return !isPage(e) }) {
			f.document(object{"data": d})
			return nil
		}
		for _, page := range d {
			if err := f.take(page); err != nil {
				return err
			}
		}
	default:
		return errors.New("contains neither an object nor a list; give a decK file or lists of Kong's Admin API")
	}
	return nil
}

// resolve completes the references of routes to their service: a plugin may have its
// name and a route its id.
func (f *File) resolve() {
	whole := map[string]reference{}
	for _, o := range f.services {
		s := refer(o, "name")
		whole["id="+s.id], whole["name="+s.name] = s, s
	}
	for i := range f.routes {
		r := &f.routes[i]
		r.to = refer(r.service, "name")
		if s, known := whole["id="+r.to.id]; known && r.to.id != "" {
			r.to = s
		} else if s, known := whole["name="+r.to.name]; known && r.to.name != "" {
			r.to = s
		}
	}
}

// document takes all lists of a document.
func (f *File) document(d object) {
	if shared, ok := d["_plugin_configs"].(map[string]any); ok {
		for name, config := range shared {
			if c, ok := config.(map[string]any); ok {
				f.configs[name] = c
			}
		}
	}
	f.about(d)
	for _, key := range slices.Sorted(maps.Keys(d)) {
		switch value := d[key]; {
		case key == "data" && value != nil:
			f.list(key, map[string]any(d))
		case empty(value) || strings.HasPrefix(key, "_") || key == "next" || key == "offset":
		default:
			f.list(key, value)
		}
	}
}

// about reads the fields of a document that are about the document itself.
func (f *File) about(d object) {
	f.tags = nil
	for _, key := range slices.Sorted(maps.Keys(d)) {
		value := d[key]
		switch {
		case empty(value):
		case key == "_info":
			f.info(value)
		case key == "_konnect":
			f.leave("konnect", "", "says where in Konnect the file goes; here it goes to the service of --admin")
		case key == "_workspace":
			f.leave("workspace", nameOf(value), "there are no workspaces: entities of all workspaces are in one place")
		case slices.Contains([]string{"_format_version", "_transform", "_comment", "_ignore", "_plugin_configs"}, key):
		case strings.HasPrefix(key, "_"):
			f.leave(key, "", "has no counterpart")
		}
	}
}

// info reads decK's _info. Its tags select the entities of the file: decK leaves them
// out of a dump, and gives them to all entities in the file.
func (f *File) info(value any) {
	info, ok := value.(map[string]any)
	if !ok {
		f.leave("info", "", "is not an object")
		return
	}
	for _, key := range slices.Sorted(maps.Keys(info)) {
		tags, isList := info[key].([]any)
		switch {
		case empty(info[key]):
		case key == "select_tags" && isList:
			f.tags = tags
		default:
			f.leave("info", key, "has no counterpart")
		}
	}
}

// tagged gives an entity the tags of its document.
func (f *File) tagged(o object) object {
	own, isList := o["tags"].([]any)
	if o["tags"] != nil && !isList {
		return o // which is a mistake, and said later
	}
	for _, tag := range f.tags {
		if !slices.Contains(own, tag) {
			own = append(own, tag)
		}
	}
	if len(own) > 0 {
		o["tags"] = own
	}
	return o
}

func (f *File) list(key string, value any) {
	if isPage(value) {
		page, _ := value.(map[string]any)
		value = page["data"]
		f.page(key, page)
	}
	f.each(key, value, func(o object) {
		kind := key
		if key == "data" {
			kind = recognised(o)
		}
		f.entity(kind, o, scope{})
	})
}

// each calls do with the entities of a list. Other elements are left.
func (f *File) each(key string, value any, do func(object)) {
	elements, ok := value.([]any)
	if !ok {
		f.leave(singular(key), "", "is not a list of entities")
		return
	}
	for _, e := range elements {
		o, ok := e.(map[string]any)
		if !ok {
			f.leave(singular(key), "", "is not an entity")
			continue
		}
		do(o)
	}
}

// recognised returns the kind of an entity by its fields: lists of the Admin API do not
// name it.
func recognised(o object) string {
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return empty(o[n]) })
	}
	switch {
	case has("mount", "host"):
		return "vault-auth"
	case has("prefix"):
		return "vaults"
	case has("group", "consumer"):
		return "acls"
	case has("name", "config"):
		return "plugins"
	case has("access_token"):
		return "credentials"
	case has("consumer"):
		return "credentials"
	case has("username") || has("custom_id"):
		return "consumers"
	case has("paths") || has("hosts") || has("methods"):
		return "routes"
	case has("host", "port"):
		return "services"
	}
	return "entities"
}

// entity takes one entity with the entities nested in it.
func (f *File) entity(kind string, o object, at scope) {
	switch strings.ReplaceAll(kind, "-", "_") {
	case "vault_auth", "vault_auths", "vaults_auth", "vault_auth_vaults":
		f.vaults = append(f.vaults, o)
	case "vaults":
		// Until 2.8 this was the name of vault objects. An entity of secrets
		// management has these fields in its config.
		if !empty(o["mount"]) && !empty(o["host"]) {
			f.vaults = append(f.vaults, o)
			return
		}
		f.leave("vault", describe(o), "is an entity of Kong's secrets management, not a vault object of vault-auth")
	case "consumers":
		f.consumers = append(f.consumers, f.tagged(o))
		at = scope{consumer: o}
		f.nested(o, at, "acls", "plugins")
		for _, key := range slices.Sorted(maps.Keys(o)) {
			if _, isList := o[key].([]any); isList && key != "tags" && key != "acls" && key != "plugins" {
				f.nested(o, at, key)
			}
		}
	case "acls":
		if at.consumer == nil {
			at.consumer = o["consumer"]
		}
		f.acls = append(f.acls, acl{f.tagged(o), at.consumer})
	case "plugins":
		for _, s := range []struct {
			to   *any
			from string
		}{{&at.service, "service"}, {&at.route, "route"}, {&at.consumer, "consumer"}, {&at.group, "consumer_group"}} {
			if *s.to == nil && !empty(o[s.from]) {
				*s.to = o[s.from]
			}
		}
		f.plugins = append(f.plugins, plugin{f.tagged(o), at})
	case "services":
		f.services = append(f.services, o)
		f.leave("service", describe(o), "services are the gateway's")
		f.nested(o, scope{service: o}, "plugins", "routes")
	case "routes":
		if at.service == nil {
			at.service = o["service"]
		}
		f.routes = append(f.routes, route{fields: o, service: at.service})
		f.leave("route", describe(o), "routes are the gateway's")
		f.nested(o, scope{route: o}, "plugins")
	case "consumer_groups":
		f.leave("consumer_group", describe(o), "has no counterpart; use ACL groups")
		f.nested(o, scope{group: o}, "plugins")
	case "upstreams":
		f.leave("upstream", describe(o), "upstreams are the gateway's")
	default:
		if !empty(o["access_token"]) {
			f.credentials++ // there may be very many
			return
		}
		f.leave(singular(kind), describe(o), "has no counterpart")
	}
}

func (f *File) nested(o object, at scope, keys ...string) {
	for _, key := range keys {
		if !empty(o[key]) {
			f.each(key, o[key], func(inner object) { f.entity(key, inner, at) })
		}
	}
}

func (f *File) leave(kind, name, why string) {
	f.left = append(f.left, Step{Action: Left, Kind: kind, Name: name, Notes: []string{why}})
}

func singular(kind string) string { return strings.TrimSuffix(kind, "s") }
