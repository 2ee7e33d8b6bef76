#!/bin/sh
# Build Kubernetes 1.20.2 from the distribution's own source package, for the test bed: a line per step, about 200 s on two cores.
# Needs golang-1.19-go, gcc, libc6-dev and zstd, and no root. Usage: kubernetes_build.sh WORK RESULT.tar.zst
set -eu
work=$1 result=$2 version=1.20.2
began=$(date +%s)
export TMPDIR="$work" # of apt and of Go

say() { echo "kubernetes: $(($(date +%s) - began)) s: $*"; }

say "getting the source"
# Where this machine's apt has the distribution from, but its sources; in lists of our own, so that the system's stay as they are.
mkdir -p "$work/apt/parts" "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
# shellcheck source=/dev/null
. /etc/os-release
# shellcheck disable=SC2016 # apt-get's own names
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u | while read -r uri suite component; do
    case $suite in "$VERSION_CODENAME" | "$VERSION_CODENAME"-*) echo "deb-src $uri $suite $component" ;; esac
done >"$work/apt/parts/source.list"
cat >"$work/apt.conf" <<END
Dir::Etc { sourcelist "/dev/null"; sourceparts "$work/apt/parts"; };
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "root";
END
cd "$work"
{ APT_CONFIG="$work/apt.conf" apt-get -q update && APT_CONFIG="$work/apt.conf" apt-get -q source --download-only kubernetes; } >"$work/apt.log" 2>&1 || {
    tail -n 5 "$work/apt.log" >&2
    exit 1
}
source=$(ls kubernetes_*"$version.orig.tar.gz" 2>/dev/null) || { echo "the distribution's Kubernetes is not $version, but $(ls kubernetes_*.dsc)" >&2; exit 1; }

say "unpacking $source"
mkdir -p go/src/k8s.io out
tar xzf "$source" -C go/src/k8s.io
mv "go/src/k8s.io/kubernetes-$version" go/src/k8s.io/kubernetes # GOPATH mode: as modules, Go 1.19 wants to change go.mod
cd go/src/k8s.io/kubernetes
unset GOROOT GOFLAGS
export PATH="/usr/lib/go-1.19/bin:$PATH" CGO_ENABLED=0 GO111MODULE=off GOPATH="$work/go" GOCACHE="$work/gocache" GOPROXY=off

say "generating the one file that the package leaves out"
go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
types=$(grep -rl --include='*.go' '^// +k8s:openapi-gen=' pkg cmd plugin staging | xargs -n1 dirname | sort -u |
    grep -vE '^staging/src/k8s.io/(code-generator|sample-apiserver)/' | sed 's#^staging/src/#vendor/#; s#^#k8s.io/kubernetes/#' | paste -sd,)
"$work/openapi-gen" --logtostderr -i "$types" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/violations.txt"

# The pause container gets -998, which runc may not set without CAP_SYS_RESOURCE: a container in which CI runs does not have it.
sed -i 's/defaultSandboxOOMAdj int = -998/defaultSandboxOOMAdj int = 0/' pkg/kubelet/dockershim/docker_sandbox.go
grep -q 'defaultSandboxOOMAdj int = 0' pkg/kubelet/dockershim/docker_sandbox.go

package=k8s.io/kubernetes/vendor/k8s.io/component-base/version
for part in kube-scheduler kube-controller-manager kube-apiserver kubelet kube-proxy kubectl; do
    say "building $part"
    go build -trimpath -tags providerless -ldflags "-s -w -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=20" -o "$work/out/" "./cmd/$part"
done
gcc -Os -static -o "$work/out/pause" build/pause/linux/pause.c

say "packing"
tar -C "$work/out" -cf "$work/out.tar" .
zstd -q -3 -T2 "$work/out.tar" -o "$work/out.tar.zst"
mv "$work/out.tar.zst" "$result"
say "done: $(du -m "$result" | cut -f1) MB"
