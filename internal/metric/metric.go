// Package metric exports values that exist anyway. They are read when metrics are collected, so
// that requests pay nothing for them.
package metric

import "github.com/prometheus/client_golang/prometheus"

// A Metric is the name, the help and the labels of a value.
type Metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// Gauge returns a metric that may go up and down.
func Gauge(name, help string, labels ...string) Metric {
	return Metric{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

// Counter returns a metric that only goes up.
func Counter(name, help string, labels ...string) Metric {
	return Metric{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

// Send sends the value for some values of the labels, which are in the order of the labels.
func (m Metric) Send(to chan<- prometheus.Metric, value float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
}

// A Collector sends the metrics that there are now. It announces none of them to the registry,
// since what they are about may come and go.
type Collector func(to chan<- prometheus.Metric)

// Describe implements [prometheus.Collector].
func (Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c Collector) Collect(to chan<- prometheus.Metric) { c(to) }

// Bool returns 1 for true and 0 for false.
func Bool(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
