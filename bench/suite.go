package bench

import (
	"slices"
	"strings"
)

// suite is all workloads, in the order of measurement.
var suite = slices.Concat(
	[]*workload{streamSmall, streamConnect, streamDownload, streamUpload, streamIdle, streamSlowReaders},
	streamLatency,
	[]*workload{
		httpSmall, httpSmallNoLog, httpSmall1, httpSmall1NoLog, httpSmall512, httpSmall512NoLog,
		httpHeaders, httpPost, httpChunked, httpConnect, httpDownload, httpIdle,
	},
	httpLatency,
	[]*workload{
		httpBesideSlow, httpFeatures,
		tlsSmall, tlsFullECDSA, tlsFullRSA, tlsResumed, tlsDownload, tlsIdle, tlsBesideHandshakes,
		http2Small, http2SmallNoLog, http2OneConnection, http2Plain, grpcUnary, grpcUnaryNoLog, http2Download, http2Upload, http2Idle, http2SlowReaders,
		streamCalls, httpCalls, httpCalls1, tlsCalls,
	},
	growthConns, growthMemory, growthHosts, growthHostsLeastConn, growthRoutes, growthWorkers,
	httpRate, streamRate, httpDefaults, tlsRate, tlsRateLoose, httpSize,
)

// benchmark returns the name of w's benchmark, and the name of w's point on its curve, or "".
func (w *workload) benchmark() (name, point string) {
	name, point, _ = strings.Cut(w.name, "/")
	return name, point
}
