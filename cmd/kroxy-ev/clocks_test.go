package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// timeOfDay are the methods of time.Time that return the time of day as a number or drop the monotonic part.
var timeOfDay = map[string]bool{"Unix": true, "UnixMilli": true, "UnixMicro": true, "UnixNano": true, "UTC": true, "Local": true}

// settable are the kernel clocks that can be set.
var settable = map[string]bool{"CLOCK_REALTIME": true, "CLOCK_REALTIME_COARSE": true, "CLOCK_REALTIME_ALARM": true, "CLOCK_TAI": true}

// readsTimeOfDay are the files that may use them, with the reason.
var readsTimeOfDay = map[string]string{
	"engine/accesslog/buffer.go": "the time stamps of lines",
	"config/certificate.go":      "the dates of certificates",
	"httpcodec/log.go":           "the time that a variable tells",
	"engine/metrics/cell.go":     "when a reload was, for people",
	"engine/syslog/header.go":    "the time stamps of messages",
	"httpcodec/tracing.go":       "when spans begin and end",

	"cmd/kroxy-ev/internal/admin/metrics.go": "when something was, as metrics tell it",
	"cmd/kroxy-ev/internal/readout/text.go":  "the dates of certificates",
}

// Somebody, or NTP, may set the time of day by hours. So no deadline, pause or interval may depend on it: all are differences of times with a monotonic part,
// or milliseconds on CLOCK_MONOTONIC (engine.Loop.Now and Monotonic). The test finds violations by the names of functions and clocks.
func TestNoDeadlineIsCountedOnTheTimeOfDay(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() && (rel == "bench" || rel != "." && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if name := readsClock(n); name != "" {
				seen[rel] = true
				if readsTimeOfDay[rel] == "" {
					t.Errorf("%s uses %s: if no deadline depends on it, add the file to readsTimeOfDay with a reason", rel, name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for file := range readsTimeOfDay {
		if !seen[file] {
			t.Errorf("%s no longer reads the time of day: remove the file from readsTimeOfDay", file)
		}
	}
}

// readsClock returns the name by which n reads or converts the time of day, or "".
func readsClock(n ast.Node) string {
	switch n := n.(type) {
	case *ast.CallExpr:
		if s, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) == 0 && timeOfDay[s.Sel.Name] {
			return s.Sel.Name
		}
	case *ast.SelectorExpr:
		if settable[n.Sel.Name] {
			return n.Sel.Name
		}
	}
	return ""
}
