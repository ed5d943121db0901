package service

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/resolve"
)

// discoveryWait is how long a start or a reload waits for services without known addresses. After that the other hosts serve without them.
const discoveryWait = time.Second

// discovery looks up the addresses of the services that a configuration names, in the process that reads it. That process tells the workers,
// so that all agree.
type discovery struct {
	*resolve.Services
	log *slog.Logger
}

func newDiscovery(log *slog.Logger) discovery {
	return discovery{resolve.NewServices(resolve.ServicesOptions{Log: log}), log}
}

// expand fills the hosts of services into cfg, which was just read, as far as they are known within discoveryWait, and returns them. The
// services in force are followed too, until follow.
func (d discovery) expand(cfg *config.Config, inForce proxy.Services) proxy.Services {
	names := proxy.ServiceNames(cfg)
	d.Follow(slices.AppendSeq(slices.Clone(names), maps.Keys(inForce)), proxy.ResolverSettings(cfg))
	ctx, cancel := context.WithTimeout(context.Background(), discoveryWait)
	defer cancel()
	d.Wait(ctx)
	known := d.known(names)
	proxy.Expand(cfg, known)
	return known
}

// follow makes d look up the services of cfg, the configuration in force, and no others.
func (d discovery) follow(cfg *config.Config, inForce proxy.Services) {
	d.Follow(slices.Collect(maps.Keys(inForce)), proxy.ResolverSettings(cfg))
}

// known returns what is known of these services.
func (d discovery) known(names []string) proxy.Services {
	known, answers := make(proxy.Services, len(names)), d.Answers()
	for _, name := range names {
		known[name] = answers[name]
	}
	return known
}

// update makes the configuration in force again with the current hosts of its services. It returns changed false if the hosts are the same.
func (d discovery) update(cfg *config.Config, inForce proxy.Services) (next *config.Config, known proxy.Services, changed bool, err error) {
	known = d.known(slices.Collect(maps.Keys(inForce)))
	if maps.EqualFunc(known, inForce, slices.Equal) {
		return cfg, inForce, false, nil
	}
	if next, _, err = cfg.Source().ParseWith(cfg.Files()); err != nil {
		return nil, nil, true, err
	}
	proxy.Expand(next, known)
	return next, known, true, nil
}

// report logs the outcome of switching to other hosts. A failed switch will be tried again.
func (d discovery) report(before, after proxy.Services, err error) {
	if err != nil {
		logOutcome(d.log, "", "kroxy-ev: switching to the changed hosts of a service failed, the previous hosts stay in service", err)
		d.Again()
		return
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		fresh, gone := 0, 0
		for _, t := range after[name] {
			if !offers(before[name], t) {
				fresh++
			}
		}
		for _, t := range before[name] {
			if !offers(after[name], t) {
				gone++
			}
		}
		if !slices.Equal(before[name], after[name]) {
			d.log.Info("kroxy-ev: the hosts of a service have changed", "service", name, "hosts", len(after[name]), "new", fresh, "gone", gone)
		}
	}
}

// offers reports whether a list has t's name and port.
func offers(list []resolve.Target, t resolve.Target) bool {
	return slices.ContainsFunc(list, func(o resolve.Target) bool { return o.Name == t.Name && o.Port == t.Port })
}
