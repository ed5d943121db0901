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

// discoveryWait is how long a start or a reload waits for services that are not known yet. Other hosts serve without them.
const discoveryWait = time.Second

// discovery finds out where the services that a configuration names are offered, in the process that reads it. Workers are told, so that
// all agree.
type discovery struct {
	*resolve.Services
	log *slog.Logger
}

func newDiscovery(log *slog.Logger) discovery {
	return discovery{resolve.NewServices(resolve.ServicesOptions{Log: log}), log}
}

// expand has cfg, which was just read, name the hosts of its services as far as they can be found out soon, and returns these. Those in
// force are still followed; follow ends that.
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

// follow has the services of cfg, the configuration in force, looked up, and no others.
func (d discovery) follow(cfg *config.Config, inForce proxy.Services) {
	d.Follow(slices.Collect(maps.Keys(inForce)), proxy.ResolverSettings(cfg))
}

// known is what is known of these services.
func (d discovery) known(names []string) proxy.Services {
	known, answers := make(proxy.Services, len(names)), d.Answers()
	for _, name := range names {
		known[name] = answers[name]
	}
	return known
}

// update makes the configuration in force again, with the hosts of its services as they are known now. It reports false if they are as
// they were.
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

// report says how switching to other hosts of services went. If it failed it is tried again.
func (d discovery) report(before, after proxy.Services, err error) {
	if err != nil {
		logOutcome(d.log, "", "kroxy-ev: the hosts of a service have changed, and those before stay in service", err)
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

// offers reports whether a list has the place of t.
func offers(list []resolve.Target, t resolve.Target) bool {
	return slices.ContainsFunc(list, func(o resolve.Target) bool { return o.Name == t.Name && o.Port == t.Port })
}
