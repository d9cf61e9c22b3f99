// Package browsertest gives tests a real browser: Debian's chromium without a
// window, which a test steers over a pipe by the DevTools protocol. The browser
// resolves no names, so that a page reaches loopback alone, and tells every request
// and every complaint about the policy of a page.
package browsertest

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for the browser.
const patience = 30 * time.Second

// Browser is a running browser with one page.
type Browser struct {
	t       *testing.T
	out     *os.File
	session string

	mu      sync.Mutex
	changed *sync.Cond
	next    int
	answers map[int]message
	events  []message
	ended   error
}

// message is one of the protocol, in either direction.
type message struct {
	ID      int             `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start starts a browser, which ends with the test.
func Start(t *testing.T) *Browser {
	t.Helper()
	toBrowser, out := pipe(t)
	in, fromBrowser := pipe(t)
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; internal/mtatest/install.sh installs chromium", err)
	}
	toBrowser.Close()
	fromBrowser.Close()
	b := &Browser{t: t, out: out, answers: make(map[int]message)}
	b.changed = sync.NewCond(&b.mu)
	go b.read(in)
	t.Cleanup(func() { // after it was asked to close
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		out.Close()
		_ = cmd.Wait() // how it ends does not matter
	})
	t.Cleanup(func() { b.Call("Browser.close", nil, nil) })
	b.attach()
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// attach makes a page.
func (b *Browser) attach() {
	b.t.Helper()
	var target struct{ TargetID string }
	b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Network", "Log", "Runtime", "Audits"} {
		b.Call(domain+".enable", nil, nil)
	}
}

// read takes messages until the browser ends.
func (b *Browser) read(in *os.File) {
	defer in.Close()
	r := bufio.NewReader(in)
	for {
		text, err := r.ReadBytes(0)
		var m message
		if err == nil {
			err = json.Unmarshal(text[:len(text)-1], &m)
		}
		b.mu.Lock()
		switch {
		case err != nil:
			b.ended = err
		case m.ID != 0:
			b.answers[m.ID] = m
		default:
			b.events = append(b.events, m)
		}
		b.changed.Broadcast()
		b.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// wait waits until done, which is called with the lock, or fails.
func (b *Browser) wait(what string, done func() bool) {
	b.t.Helper()
	timer := time.AfterFunc(patience, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ended = fmt.Errorf("%v have passed", patience)
		b.changed.Broadcast()
	})
	defer timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for !done() {
		if b.ended != nil {
			b.t.Fatalf("waiting for %s: %v", what, b.ended)
		}
		b.changed.Wait()
	}
}

// Call calls a method of the protocol, and reads its result unless that is nil.
func (b *Browser) Call(method string, params, result any) {
	b.t.Helper()
	b.mu.Lock()
	b.next++
	id := b.next
	b.mu.Unlock()
	m := map[string]any{"id": id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if b.session != "" && method != "Browser.close" {
		m["sessionId"] = b.session
	}
	text, err := json.Marshal(m)
	if err == nil {
		_, err = b.out.Write(append(text, 0))
	}
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	var answer message
	b.wait(method, func() (ok bool) {
		answer, ok = b.answers[id]
		delete(b.answers, id)
		return ok
	})
	if answer.Error != nil {
		b.t.Fatalf("%s: %s", method, answer.Error.Message)
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result, result); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
	}
}

// Screen sets the size of the window and whether the reader likes dark pages.
func (b *Browser) Screen(width, height int, dark bool) {
	b.t.Helper()
	scheme := map[bool]string{false: "light", true: "dark"}[dark]
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.Call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]string{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// NoScripts turns JavaScript of pages off. Eval works nevertheless.
func (b *Browser) NoScripts() {
	b.t.Helper()
	b.Call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
}

// Go opens an address and waits until the page and what belongs to it are loaded.
func (b *Browser) Go(address string) {
	b.t.Helper()
	b.loading(func() { b.Call("Page.navigate", map[string]any{"url": address}, nil) })
}

// loading waits for a page that what is done loads.
func (b *Browser) loading(do func()) {
	b.t.Helper()
	before := b.count("Page.loadEventFired")
	do()
	b.wait("a page", func() bool { return b.counted("Page.loadEventFired") > before })
}

func (b *Browser) count(method string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counted(method)
}

func (b *Browser) counted(method string) (n int) {
	for _, e := range b.events {
		if e.Method == method {
			n++
		}
	}
	return n
}

// Eval evaluates an expression in the page, whose value is written as JSON.
func (b *Browser) Eval(expression string, value any) {
	b.t.Helper()
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	b.Call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &out)
	if out.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, out.ExceptionDetails.Exception.Description)
	}
	if err := json.Unmarshal(out.Result.Value, value); err != nil {
		b.t.Fatalf("%s: %v: %s", expression, err, out.Result.Value)
	}
}

// keys are the codes of those that tests press.
var keys = map[string]int{"Tab": 9, "Enter": 13}

// Press presses a key.
func (b *Browser) Press(key string) {
	b.t.Helper()
	down := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": keys[key]}
	if key == "Enter" {
		down["text"] = "\r"
	}
	b.Call("Input.dispatchKeyEvent", down, nil)
	b.Call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": keys[key]}, nil)
}

// Enter presses Enter and waits for the page that this opens.
func (b *Browser) Enter() {
	b.t.Helper()
	b.loading(func() { b.Press("Enter") })
}

// Type writes text where the focus is.
func (b *Browser) Type(text string) {
	b.t.Helper()
	b.Call("Input.insertText", map[string]any{"text": text}, nil)
}

// Picture is the window as PNG.
func (b *Browser) Picture() []byte {
	b.t.Helper()
	var out struct{ Data string }
	b.Call("Page.captureScreenshot", map[string]any{"format": "png", "optimizeForSpeed": false}, &out)
	png, err := base64.StdEncoding.DecodeString(out.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}

// Requests are the addresses that were asked for, each once.
func (b *Browser) Requests() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		var p struct{ Request struct{ URL string } }
		if e.Method == "Network.requestWillBeSent" && json.Unmarshal(e.Params, &p) == nil {
			list = append(list, p.Request.URL)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Complaints are what the browser has to say against the pages: what their policy
// forbids, faults of scripts, errors of the console.
func (b *Browser) Complaints() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		switch e.Method {
		case "Log.entryAdded", "Audits.issueAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Network.loadingFailed":
			list = append(list, e.Method+" "+string(e.Params))
		}
	}
	return list
}
