package envoy

import (
	"strconv"
	"strings"
)

// These bound what a client's Accept header costs: how many of its ranges and of the parameters
// of a range are read, and how long a quality may be (RFC 9110: 0.123).
const (
	maxAcceptRanges  = 32
	maxRangeParams   = 8
	maxQualityLength = 5
)

// negotiate chooses the format for an Accept header: the supported range with the highest
// quality, the first of equal ones, and JSON if no range is supported or any format is
// acceptable, as in Kong. jsonType is another type of JSON that is supported, or empty.
func negotiate(accept, jsonType string) format {
	best, bestQuality := formatJSON, 0.0
	for range maxAcceptRanges {
		var item string
		item, accept, _ = strings.Cut(accept, ",")
		mediaRange, quality := parseRange(item)
		if quality > bestQuality {
			if f, ok := formatOf(mediaRange); ok || jsonType != "" && mediaRange == jsonType {
				best, bestQuality = f, quality // the zero format is JSON
			}
		}
		if accept == "" || bestQuality == 1 { // no other is higher
			break
		}
	}
	return best
}

// parseRange reads one media range and its quality, 1 by default (RFC 9110,
// section 12.5.1). An invalid quality counts as 0.
func parseRange(item string) (mediaRange string, quality float64) {
	mediaRange, params, _ := strings.Cut(item, ";")
	quality = 1
	for range maxRangeParams {
		var p string
		p, params, _ = strings.Cut(params, ";")
		name, value, ok := strings.Cut(strings.TrimSpace(p), "=")
		if !ok || !strings.EqualFold(name, "q") {
			continue
		}
		quality = 0
		if len(value) > maxQualityLength {
			continue
		}
		if q, err := strconv.ParseFloat(value, 64); err == nil && q >= 0 && q <= 1 {
			quality = q
		}
	}
	return lowerCase(strings.TrimSpace(mediaRange)), quality
}
