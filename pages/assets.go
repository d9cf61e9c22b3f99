package pages

import (
	"crypto/sha256"
	"embed"
	_ "embed"
	"encoding/hex"
	"html/template"
	"net/http"
)

//go:embed style.css
var style []byte

//go:embed icon.svg
var icon []byte

//go:embed templates
var templates embed.FS

// The paths of the assets have the hash of their content, so that browsers may
// keep them.
var (
	stylePath = "/static/style-" + hash(style) + ".css"
	iconPath  = "/static/icon-" + hash(icon) + ".svg"
)

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}

func static(w http.ResponseWriter, r *http.Request) {
	var content []byte
	switch r.URL.Path {
	case stylePath:
		content = style
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
	case iconPath:
		content = icon
		w.Header().Set("Content-Type", "image/svg+xml")
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(content) // the client that went away needs no answer
}

// parse reads the templates: each page with the layout and the parts.
func parse() map[string]*template.Template {
	base := template.New("").Funcs(template.FuncMap{"menu": func() []entry { return menu }})
	base = template.Must(base.ParseFS(templates, "templates/layout.html", "templates/parts.html"))
	all := make(map[string]*template.Template)
	for _, name := range []string{"status", "decisions", "decision", "senders", "rules", "whatif", "reports", "dns", "error"} {
		all[name] = template.Must(template.Must(base.Clone()).ParseFS(templates, "templates/"+name+".html"))
	}
	return all
}

// entry is a page of the menu.
type entry struct{ Path, Name string }

var menu = []entry{{"/", "Status"}, {"/decisions", "Decisions"}, {"/senders", "Senders"}, {"/rules", "Rules"}, {"/what-if", "What-if"}, {"/reports", "Reports"}, {"/dns", "DNS"}}
