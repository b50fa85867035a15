package parts

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Metrics are values by the names of their series, which have the labels as they are exposed.
type Metrics map[string]float64

// Metrics asks the service for its metrics.
func (s *Service) Metrics(ctx context.Context) (Metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Probes+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	raw, err := fetch(s.http, req)
	if err != nil {
		return nil, err
	}
	all := Metrics{}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		// A label may have a blank in its value.
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if all[line[:i]], err = strconv.ParseFloat(line[i+1:], 64); err != nil {
			return nil, fmt.Errorf("metric %s: %w", line[:i], err)
		}
	}
	return all, nil
}

// Sum returns the sum of all series of a metric, and whether there is one.
func (m Metrics) Sum(name string) (sum float64, found bool) {
	for series, value := range m {
		if family, _, _ := strings.Cut(series, "{"); family == name {
			sum, found = sum+value, true
		}
	}
	return sum, found
}
