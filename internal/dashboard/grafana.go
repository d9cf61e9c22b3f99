package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// The grid of Grafana: 24 columns; heights in its own unit of some 30 pixels.
const (
	columns    = 24
	tileHeight = 4
	panelHigh  = 8
)

// object is a part of the JSON.
type object = map[string]any

// source names the data source: the variable at the top of the dashboard.
var source = object{"type": "prometheus", "uid": "${datasource}"}

// types are Grafana's names of the kinds.
var types = map[kind]string{stat: "stat", lines: "timeseries", stacked: "timeseries", bars: "bargauge", table: "table", heatmap: "heatmap", states: "state-timeline"}

// selectors replaces the short forms of a query's selection.
var selectors = strings.NewReplacer(
	"@l", `job=~"$job",instance=~"$instance",listener=~"$listener"`,
	"@", `job=~"$job",instance=~"$instance"`,
)

// JSON draws the dashboard.
func JSON() ([]byte, error) {
	var panels []object
	y := 0
	for _, r := range rows {
		panels = append(panels, object{"id": len(panels) + 1, "type": "row", "title": r.title, "collapsed": false, "panels": []any{}, "gridPos": position(0, y, columns, 1)})
		y++
		x, high := 0, 0
		for _, p := range r.panels {
			if x+p.width > columns {
				x, y, high = 0, y+high, 0
			}
			height := panelHigh
			if p.kind == stat {
				height = tileHeight
			}
			o := p.draw()
			o["id"], o["gridPos"] = len(panels)+1, position(x, y, p.width, height)
			panels = append(panels, o)
			x, high = x+p.width, max(high, height)
		}
		y += high
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(object{
		"title": "dmarcgate", "uid": "dmarcgate", "tags": []string{"dmarcgate", "mail"}, "description": "DMARC at the receiving MTA. docs/monitoring.md explains each metric.",
		"schemaVersion": 36, "version": 1, "editable": true, "graphTooltip": 1, "refresh": "1m", "timezone": "",
		"time": object{"from": "now-6h", "to": "now"}, "templating": object{"list": variables()},
		"annotations": object{"list": annotations()}, "panels": panels,
	})
	return text.Bytes(), err
}

func position(x, y, w, h int) object { return object{"x": x, "y": y, "w": w, "h": h} }

// variables are the choices at the top of the dashboard.
func variables() []object {
	list := []object{{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}}
	for _, v := range []struct{ name, label, query string }{
		{"job", "Job", "label_values(dmarcgate_build_info, job)"},
		{"instance", "Host", `label_values(dmarcgate_build_info{job=~"$job"}, instance)`},
		{"listener", "Listener", `label_values(dmarcgate_milter_sessions_active{job=~"$job",instance=~"$instance"}, listener)`},
	} {
		list = append(list, object{
			"name": v.name, "label": v.label, "type": "query", "datasource": source, "definition": v.query, "query": object{"query": v.query, "refId": v.name},
			"multi": true, "includeAll": true, "refresh": 2, "sort": 1, "current": object{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}},
		})
	}
	return list
}

// annotations mark reloads and new sets of rules in every panel over time.
func annotations() []object {
	mark := func(name, color, expr, text string, isTime bool) object {
		return object{"name": name, "datasource": source, "enable": true, "iconColor": color, "expr": selectors.Replace(expr), "titleFormat": name, "textFormat": text,
			"useValueForTime": isTime, "step": "60s"}
	}
	return []object{
		mark("Reload", "blue", "dmarcgate_config_last_reload_success_timestamp_seconds{@} * 1000", "{{instance}}", true),
		mark("New rules", "orange", "dmarcgate_ruleset_info{@} unless dmarcgate_ruleset_info{@} offset 1m", "{{instance}}: {{rules}} rules, {{sha256}}", false),
	}
}

// draw is a panel without its place.
func (p panel) draw() object {
	var targets []object
	for i, q := range p.queries {
		t := object{"refId": string(rune('A' + i)), "datasource": source, "expr": selectors.Replace(q.expr), "legendFormat": q.legend}
		switch p.kind {
		case table:
			t["format"], t["instant"], t["range"] = "table", true, false
		case stat, bars:
			t["instant"], t["range"] = true, false
		case heatmap:
			t["format"] = "heatmap"
		}
		targets = append(targets, t)
	}
	o := object{"type": types[p.kind], "title": p.title, "datasource": source, "targets": targets, "options": p.options(),
		"fieldConfig": object{"defaults": p.defaults(), "overrides": []any{}}}
	if p.help != "" {
		o["description"] = p.help
	}
	if p.kind == table {
		o["transformations"] = p.columns()
		o["fieldConfig"].(object)["overrides"] = p.times()
	}
	return o
}

// defaults are the unit and the look of every series of a panel.
func (p panel) defaults() object {
	d := object{"unit": p.unit, "min": 0, "color": object{"mode": "palette-classic"}}
	switch p.kind {
	case stat:
		delete(d, "min")
		d["color"], d["thresholds"] = object{"mode": "thresholds"}, p.thresholds()
	case lines:
		d["custom"] = object{"lineWidth": 1, "fillOpacity": 0, "showPoints": "never", "spanNulls": true}
	case stacked:
		d["custom"] = object{"lineWidth": 1, "fillOpacity": 60, "showPoints": "never", "stacking": object{"mode": "normal", "group": "A"}}
	case table:
		delete(d, "min")
	}
	if strings.HasPrefix(p.title, "Clock") {
		delete(d, "min")
	}
	return d
}

// thresholds colour a number that somebody should look at.
func (p panel) thresholds() object {
	step := func(color string, value any) object { return object{"color": color, "value": value} }
	steps := []object{step("blue", nil)}
	switch p.bad {
	case ">=1":
		steps = []object{step("green", nil), step("red", 1)}
	case ">1":
		steps = []object{step("green", nil), step("red", 2)}
	case "<1":
		steps = []object{step("red", nil), step("green", 1)}
	}
	return object{"mode": "absolute", "steps": steps}
}

// options are what each kind of panel needs beside.
func (p panel) options() object {
	legend, tooltip := object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}}, object{"mode": "multi", "sort": "desc"}
	last := object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}
	switch p.kind {
	case stat:
		mode := "auto"
		if p.words {
			mode = "name"
			if p.unit != "short" {
				mode = "value_and_name"
			}
		}
		return object{"reduceOptions": last, "textMode": mode, "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto"}
	case bars:
		return object{"reduceOptions": last, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": true}
	case heatmap:
		return object{"calculate": false, "yAxis": object{"unit": p.unit}, "color": object{"mode": "scheme", "scheme": "Blues", "steps": 64}, "cellGap": 1,
			"tooltip": object{"mode": "single", "yHistogram": false}, "legend": object{"show": true}}
	case states:
		return object{"mergeValues": true, "showValue": "auto", "alignValue": "left", "rowHeight": 0.9, "legend": legend, "tooltip": tooltip}
	case table:
		return object{"showHeader": true, "footer": object{"show": false}}
	}
	return object{"legend": legend, "tooltip": tooltip}
}

// columns joins the queries of a table by rule, and names their columns.
func (p panel) columns() []object {
	names, hidden := object{}, object{"Time": true}
	for i, q := range p.queries {
		value := "Value"
		if len(p.queries) > 1 {
			value = fmt.Sprintf("Value #%c", 'A'+i)
		}
		names[value] = q.legend
		hidden[fmt.Sprintf("Time %d", i+1)] = true
	}
	organize := object{"id": "organize", "options": object{"renameByName": names, "excludeByName": hidden}}
	if len(p.queries) == 1 {
		return []object{organize}
	}
	return []object{{"id": "joinByField", "options": object{"byField": "rule", "mode": "outer"}}, organize}
}

// times shows the columns that are points in time as such: they are in milliseconds.
func (p panel) times() []object {
	list := []object{}
	for _, q := range p.queries {
		if strings.HasSuffix(q.expr, "* 1000") {
			list = append(list, object{"matcher": object{"id": "byName", "options": q.legend}, "properties": []object{{"id": "unit", "value": "dateTimeFromNow"}}})
		}
	}
	return list
}
