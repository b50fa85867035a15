package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
	"istio.io/istio/pkg/util/protomarshal"
)

// resources are what is in a folder.
type resources struct {
	// configs are Istio's own resources.
	configs []config.Config
	// objects are all others, as YAML.
	objects string
}

func readMesh(file string) (*meshconfig.MeshConfig, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	// Istio itself takes fields that it does not know.
	if err := protomarshal.ApplyYAMLStrict(string(raw), &meshconfig.MeshConfig{}); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	m, err := mesh.ApplyMeshConfig(string(raw), mesh.DefaultMeshConfig())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

func readFolder(folder string) (resources, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return resources{}, err
	}
	var found resources
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return resources{}, err
		}
		for i, document := range strings.Split("\n"+string(raw), "\n---\n") {
			if err := found.add(document); err != nil {
				return resources{}, fmt.Errorf("%s, document %d: %w", file, i+1, err)
			}
		}
	}
	if len(found.configs) == 0 {
		return resources{}, fmt.Errorf("no resource of Istio in %q", folder)
	}
	return found, nil
}

// add adds a document, which may be empty.
func (r *resources) add(document string) error {
	var object crd.IstioKind
	if err := yaml.Unmarshal([]byte(document), &object); err != nil {
		return err
	}
	kind := object.GroupVersionKind()
	switch {
	case kind.Empty():
		return nil
	case !strings.HasSuffix(kind.Group, ".istio.io"):
		r.objects += "\n---\n" + document
		return nil
	}
	schema, known := collections.PilotGatewayAPI().FindByGroupVersionAliasesKind(resource.FromKubernetesGVK(&kind))
	if !known {
		return fmt.Errorf("istio does not know the kind %s", kind)
	}
	c, err := crd.ConvertObjectInternal(schema, &object, "", strictly)
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind.Kind, object.Name, err)
	}
	if c.Namespace == "" {
		return errors.New(kind.Kind + " " + object.Name + " has no namespace")
	}
	if _, err := schema.ValidateConfig(*c); err != nil {
		return fmt.Errorf("%s %s: %w", kind.Kind, object.Name, err)
	}
	c.CreationTimestamp = time.Now()
	r.configs = append(r.configs, *c)
	return nil
}

// strictly is [crd.FromJSON] without unknown fields.
func strictly(schema resource.Schema, text string) (config.Spec, error) {
	spec, err := schema.NewInstance()
	if err != nil {
		return nil, err
	}
	return spec, config.ApplyJSONStrict(spec, text)
}
