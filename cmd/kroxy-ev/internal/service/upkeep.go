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

// upkeepEvery is how often upkeep looks.
const upkeepEvery = time.Second

// upkeep says when TLS has to be set up anew although the configuration is the same: its PEM files have changed, or the keys of
// session tickets have had their time. Its zero value, and that of a configuration without TLS, says nothing.
type upkeep struct {
	ticker *time.Ticker
	files  map[string]stamp // when they were taken up
	last   map[string]stamp // when they were last looked at
	made   time.Time        // the newest key
	rotate time.Time        // zero is never
	expiry expiry
}

// stamp tells one version of a file from another.
type stamp struct {
	changed time.Time
	size    int64
	inode   uint64
}

// follow looks after cfg, which was just read, from now on. The keys are as old as they were, or new if there were none.
func (u *upkeep) follow(cfg *config.Config) {
	u.stop()
	files := cfg.Files()
	if len(files) == 0 && !speaksTLS(cfg) {
		*u = upkeep{made: u.made}
		return
	}
	u.ticker = time.NewTicker(upkeepEvery)
	u.expiry = newExpiry(cfg, time.Now())
	u.files = stamps(slices.Collect(maps.Keys(files)))
	u.last = u.files
	for path, content := range files {
		if now, err := readRegular(path); err != nil || !bytes.Equal(now, content) {
			u.files = nil // it has changed since it was read
			break
		}
	}
	if u.made.IsZero() {
		u.made = time.Now()
	}
	u.plan(cfg)
}

// rotated notes that there is a new key.
func (u *upkeep) rotated(cfg *config.Config) {
	u.made = time.Now()
	u.plan(cfg)
}

// plan says when the next key is due.
func (u *upkeep) plan(cfg *config.Config) {
	u.rotate = time.Time{}
	for _, s := range cfg.Servers {
		if !s.TLS.Enabled || s.TLS.TicketRotation == 0 {
			continue
		}
		if due := u.made.Add(s.TLS.TicketRotation); u.rotate.IsZero() || due.Before(u.rotate) {
			u.rotate = due
		}
	}
}

// speaksTLS reports whether clients of any server come by TLS.
func speaksTLS(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Servers, func(s *config.Server) bool { return s.TLS.Enabled })
}

// readRegular reads a file if it is one: opening a pipe would wait for whoever writes into it.
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

func (u *upkeep) stop() {
	if u.ticker != nil {
		u.ticker.Stop()
	}
}

// tick is when to look.
func (u *upkeep) tick() <-chan time.Time {
	if u.ticker == nil {
		return nil
	}
	return u.ticker.C
}

// remind says what is to be said of certificates now.
func (u *upkeep) remind(log *slog.Logger) {
	for _, p := range u.expiry.warnings(time.Now()) {
		log.Warn("kroxy-ev: " + p.String())
	}
}

// due looks whether files have changed, or keys have had their time. A change is told once, and only when nothing has changed
// any more since the last look: a certificate and its key are seldom replaced at the same moment. Keys are told of again
// after a while if nobody follows.
func (u *upkeep) due() (files, keys bool) {
	now := stamps(slices.Collect(maps.Keys(u.last)))
	files = !maps.Equal(now, u.files) && maps.Equal(now, u.last)
	u.last = now
	if files {
		u.files = now
	}
	if keys = !u.rotate.IsZero() && time.Now().After(u.rotate); keys {
		u.rotate = time.Now().Add(time.Minute)
	}
	return files, keys
}

// stamps looks at files. One that cannot be looked at has the zero stamp.
func stamps(paths []string) map[string]stamp {
	list := make(map[string]stamp, len(paths))
	for _, path := range paths {
		var s stamp
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
