// Package dashboard writes deploy/grafana/dmarcgate.json, the Grafana dashboard, from a
// table of rows and panels (panels.go).
//
// To change the dashboard, change the table and run
//
//	go test ./internal/dashboard -update
//
// A test compares the file with the table, and another one sends every query to a
// Prometheus (cmd/dmarcgate). The dashboard shows every metric of docs/monitoring.md,
// except those that the page names as left out.
//
// It is not for dashboards of other programs: grafana.go knows the few kinds of panels
// that the table uses.
package dashboard
