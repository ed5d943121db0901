package service

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"kroxy-ev/config"
)

// renewalInterval is the time between two checks of the files.
const renewalInterval = time.Second

// renewal says when TLS must be set up again under the same configuration: its PEM files have changed, or a new session ticket key is due.
// With the zero value, or a configuration without TLS, nothing is ever due.
type renewal struct {
	ticker *time.Ticker
	files  map[string]fileVersion // as in use
	last   map[string]fileVersion // at the last check
	made   time.Time              // when the newest key was made
	rotate time.Time              // when the next key is due; zero means never
	expiry expiry
}

// fileVersion distinguishes versions of a file.
type fileVersion struct {
	changed time.Time
	size    int64
	inode   uint64
}

// watch watches the files of cfg, which was just read, from now on. Existing keys keep their age; without any, keys count as new.
func (r *renewal) watch(cfg *config.Config) {
	r.stop()
	files := cfg.Files()
	if len(files) == 0 && !speaksTLS(cfg) {
		*r = renewal{made: r.made}
		return
	}
	r.ticker = time.NewTicker(renewalInterval)
	r.expiry = newExpiry(cfg, time.Now())
	r.files = fileVersions(slices.Collect(maps.Keys(files)))
	r.last = r.files
	for path, content := range files {
		if now, err := readRegular(path); err != nil || !bytes.Equal(now, content) {
			r.files = nil // a file has changed since cfg was read
			break
		}
	}
	if r.made.IsZero() {
		r.made = time.Now()
	}
	r.plan(cfg)
}

// rotated notes that there is a new key.
func (r *renewal) rotated(cfg *config.Config) {
	r.made = time.Now()
	r.plan(cfg)
}

// plan sets when the next key is due.
func (r *renewal) plan(cfg *config.Config) {
	r.rotate = time.Time{}
	for _, s := range cfg.Servers {
		if !s.TLS.Enabled || s.TLS.TicketRotation == 0 {
			continue
		}
		if due := r.made.Add(s.TLS.TicketRotation); r.rotate.IsZero() || due.Before(r.rotate) {
			r.rotate = due
		}
	}
}

// speaksTLS reports whether any server has TLS.
func speaksTLS(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Servers, func(s *config.Server) bool { return s.TLS.Enabled })
}

// readRegular reads a regular file, and nothing else: opening a pipe would wait for a writer.
func readRegular(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, os.ErrInvalid)
	}
	return io.ReadAll(f)
}

func (r *renewal) stop() {
	if r.ticker != nil {
		r.ticker.Stop()
	}
}

// tick returns a channel that ticks when a check is due; nil if none ever is.
func (r *renewal) tick() <-chan time.Time {
	if r.ticker == nil {
		return nil
	}
	return r.ticker.C
}

// remind logs the warnings about certificates that are due now.
func (r *renewal) remind(log *slog.Logger) {
	for _, p := range r.expiry.warnings(time.Now()) {
		log.Warn("kroxy-ev: " + p.String())
	}
}

// due reports whether files have changed and whether a new key is due. A change is reported once, when the files have stopped changing since
// the last check: a certificate and its key are rarely replaced at the same moment. If no new key follows, it is reported again after a
// minute.
func (r *renewal) due() (files, keys bool) {
	now := fileVersions(slices.Collect(maps.Keys(r.last)))
	files = !maps.Equal(now, r.files) && maps.Equal(now, r.last)
	r.last = now
	if files {
		r.files = now
	}
	if keys = !r.rotate.IsZero() && time.Now().After(r.rotate); keys {
		r.rotate = time.Now().Add(time.Minute)
	}
	return files, keys
}

// fileVersions returns the versions of files. A file that cannot be read has the zero value.
func fileVersions(paths []string) map[string]fileVersion {
	list := make(map[string]fileVersion, len(paths))
	for _, path := range paths {
		var s fileVersion
		if info, err := os.Stat(path); err == nil {
			s.changed, s.size = info.ModTime(), info.Size()
			if sys, ok := info.Sys().(*syscall.Stat_t); ok {
				s.inode = sys.Ino
			}
		}
		list[path] = s
	}
	return list
}
