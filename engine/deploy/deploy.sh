#!/usr/bin/env bash
# Creates, uses, shows and deletes a cluster on AWS. README.md describes the resources and their cost.
set -euo pipefail

usage() {
    cat <<'END'
Usage: deploy.sh create|run|status|delete [OPTIONS]

  create    build, upload, and create or update the stacks; safe to repeat
  run       run a k-means job on the cluster; repeat the command with the same --job to go on with it
  status    show stacks, nodes, members, alarms; exit with 0 if all is well, 1 if not, 3 if there are no
            nodes: none were created, or they were deleted and the bucket was kept
  delete    delete the nodes and all objects in their memory; keep the bucket unless --with-data

Options of all commands:
  --name NAME             prefix of the stack names [catena]
  --region REGION         AWS region [AWS_REGION, AWS_DEFAULT_REGION, or that of the profile]
  --dry-run               print the commands in order, without using AWS

Options of create. Options left out keep their value, or the default of the template:
  --nodes N               number of nodes [2]
  --replicas N            number of nodes that keep each object [2]
  --min-members N         refuse updates with fewer members [1 with 2 replicas, 2 with more]
  --instance-type TYPE    x86-64 instance type with the CPUs of --cores [r5.2xlarge]
  --cores LIST            CPUs to run on, one thread each [0-7]
  --memory-per-core SIZE  memory for objects and sessions of each core [6GiB]
  --zone ZONE             zone of all nodes and functions [the first that has the instance type]
  --vpc VPC               use this VPC, which needs routes to S3, CloudFormation, CloudWatch Logs and, with
                          --kmeans, Lambda [a new one without a route to the internet]
  --nodes-subnet SUBNET   the subnet of the nodes in it
  --functions-subnet SUBNET
                          the subnet of functions in it, of the same zone
  --shell yes|no          allow shells on nodes through Systems Manager [no]
  --email ADDRESS         send alarms to this address
  --new-image             use the latest Amazon Linux instead of the present image
  --cluster-name NAME     name that no cluster in this bucket has had [NAME and the time]
  --program FILE          use this engine, built with the feature s3
  --tool FILE             use this command-line tool, built with the features cli and s3
  --kmeans                also create the Lambda function
  --bootstrap FILE        use this program for the function
  --run-on-upload yes|no  cluster each object that appears under data/ [no]
  --clusters K            number of clusters for uploads [10]
  --wait MINUTES          how long to wait for members in the record [10]

Options of run, which needs a cluster that was created with --kmeans:
  --data PATH             a local file or folder, which is uploaded, or s3://BUCKET/data/... in its bucket
  --k N                   number of clusters [10]
  --workers N             number of workers, each an invocation of the function [4]
  --job NAME              name of the job [run and the time]
  --out FILE              copy the centroids to this file
  --set NAME=VALUE        another setting, such as seed=3, init=random or missing=drop; can be given several
                          times; names are those of the flags of catena-kmeans run, with underscores

Options of delete:
  --with-data             also delete the bucket with records, data and results
  --yes                   do not ask for confirmation

Examples:
  deploy.sh create --dry-run
  deploy.sh create --name km --nodes 3 --replicas 2 --kmeans
  deploy.sh create --vpc vpc-1 --nodes-subnet subnet-1 --functions-subnet subnet-2
  deploy.sh run --name km --data points.npy --k 25 --workers 16 --out centroids.csv
  deploy.sh status --name km
  deploy.sh delete --name km
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
# The target directory of cargo.
target=${CARGO_TARGET_DIR:-$top/target}

# Interval of polling AWS, in seconds.
poll=${CATENA_DEPLOY_POLL:-5}
# The glibc version of Amazon Linux 2023, on nodes and under provided.al2023.
glibc_most=2.34
image_parameter=/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
fail() {
    printf 'deploy.sh: %s\n' "$*" >&2
    exit 1
}

main() {
    local command=${1:-}
    case $command in
    create | run | status | delete) shift ;;
    -h | --help | help) usage && exit ;;
    "") usage >&2 && exit 2 ;;
    *) fail "\`$command\` is not a command: use create, run, status or delete; see deploy.sh --help" ;;
    esac
    parse "$command" "$@"
    store=$name-store cluster=$name-cluster kmeans=$name-kmeans
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if [[ -z $dry_run ]]; then
        check_account
    else
        say "Dry run: lines with + are the commands that would run."
    fi
    "command_$command"
}

# -- The command line.

parse() {
    local command=$1
    shift
    name=catena region="" dry_run="" program="" tool="" with_kmeans="" bootstrap="" minutes=10 with_data="" yes=""
    new_image="" cluster_name="" data="" k=10 workers=4 job="" out=""
    # Settings of a job.
    declare -gA settings=()
    # Parameters of the two stacks from the command line.
    declare -gA cluster_parameters=() kmeans_parameters=()
    while (($#)); do
        local flag=$1
        shift
        case $flag in
        --name) take name '[a-z][a-z0-9-]{0,30}' "$flag" "$@" && shift ;;
        --region) take region '[a-z0-9-]+' "$flag" "$@" && shift ;;
        --dry-run) dry_run=1 ;;
        -h | --help) usage && exit ;;
        *)
            "parse_$command" "$flag" "$@"
            shift "$taken"
            ;;
        esac
    done
}

parse_create() {
    local flag=$1 value
    shift
    taken=1
    case $flag in
    --nodes) parameter NodeCount '[1-7]' "$flag" "$@" ;;
    --replicas) parameter Replicas '[1-7]' "$flag" "$@" ;;
    --min-members) parameter MinMembers '[1-7]' "$flag" "$@" ;;
    --instance-type) parameter InstanceType '[a-z0-9-]+\.[a-z0-9-]+' "$flag" "$@" ;;
    --cores) parameter Cores '[0-9]+([,-][0-9]+)*' "$flag" "$@" ;;
    --memory-per-core) parameter MemoryPerCore '[0-9]+[KMG]iB' "$flag" "$@" ;;
    --zone) parameter AvailabilityZone '[a-z0-9-]+' "$flag" "$@" ;;
    --vpc) parameter VpcId 'vpc-[a-z0-9]+' "$flag" "$@" ;;
    --nodes-subnet) parameter NodesSubnetId 'subnet-[a-z0-9]+' "$flag" "$@" ;;
    --functions-subnet) parameter FunctionsSubnetId 'subnet-[a-z0-9]+' "$flag" "$@" ;;
    --shell) parameter Shell 'yes|no' "$flag" "$@" ;;
    --email) parameter AlarmEmail '[^@ ]+@[^@ ]+' "$flag" "$@" ;;
    --cluster-name) take cluster_name '[a-z0-9][a-z0-9-]{0,62}' "$flag" "$@" ;;
    --run-on-upload)
        take value 'yes|no' "$flag" "$@"
        kmeans_parameters[RunOnUpload]=$value
        ;;
    --clusters)
        take value '[1-9][0-9]*' "$flag" "$@"
        kmeans_parameters[Clusters]=$value
        ;;
    --program) take program '.+' "$flag" "$@" ;;
    --tool) take tool '.+' "$flag" "$@" ;;
    --bootstrap) take bootstrap '.+' "$flag" "$@" ;;
    --wait) take minutes '[0-9]+' "$flag" "$@" ;;
    --new-image) new_image=1 taken=0 ;;
    --kmeans) with_kmeans=1 taken=0 ;;
    *) unknown "$flag" create ;;
    esac
}

parse_run() {
    local flag=$1 value
    shift
    taken=1
    case $flag in
    --data) take data '.+' "$flag" "$@" ;;
    --k) take k '[1-9][0-9]*' "$flag" "$@" ;;
    --workers) take workers '[1-9][0-9]*' "$flag" "$@" ;;
    --job) take job '[A-Za-z0-9._-]{1,64}' "$flag" "$@" ;;
    --out) take out '.+' "$flag" "$@" ;;
    --set)
        take value '[a-z_]+=.+' "$flag" "$@"
        settings[${value%%=*}]=${value#*=}
        ;;
    *) unknown "$flag" run ;;
    esac
}

parse_status() { unknown "$1" status; }

parse_delete() {
    taken=0
    case $1 in
    --with-data) with_data=1 ;;
    --yes) yes=1 ;;
    *) unknown "$1" delete ;;
    esac
}

unknown() { fail "\`$1\` is not an option of $2; see deploy.sh --help"; }

# Sets a variable to the value of a flag, if the value matches a pattern.
take() {
    local -n variable=$1
    local pattern=$2 flag=$3
    (($# >= 4)) || fail "$flag needs a value"
    [[ $4 =~ ^($pattern)$ ]] || fail "$flag: \`$4\` does not match $pattern"
    # shellcheck disable=SC2034 # it is a reference to a variable of the caller
    variable=$4
}

# Sets a parameter of the cluster's stack in the same way.
parameter() {
    local key=$1 given
    shift
    take given "$@"
    cluster_parameters[$key]=$given
}

# -- Tools and the account.

need() {
    command -v "$1" >/dev/null || fail "\`$1\` is missing: $2"
}

check_account() {
    need aws "install the AWS command line (pip install awscli, or the package of AWS)"
    if [[ -z $region ]]; then
        region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region 2>/dev/null || true)}}
    fi
    [[ -n $region ]] || fail "no region: pass --region, or set AWS_REGION"
    # Both variables, for all versions of the tool.
    export AWS_REGION=$region AWS_DEFAULT_REGION=$region AWS_PAGER="" AWS_MAX_ATTEMPTS=5
    local who
    if ! who=$(aws sts get-caller-identity --query '[Account, Arn]' --output text 2>"$work/error"); then
        fail "no valid AWS credentials: set AWS_PROFILE, or log in. AWS reports:
$(<"$work/error")"
    fi
    account=${who%%$'\t'*}
    say "account $account, region $region, as ${who#*$'\t'}"
}

# Runs a command that changes something; in a dry run prints it.
change() {
    if [[ -n $dry_run ]]; then
        printf '+'
        printf ' %q' "$@"
        printf '\n'
    else
        "$@"
    fi
}

# -- Stacks.

# Reads a stack: sets `state` to its status, empty if there is none, and keeps the rest for `fact`.
look() {
    local file=$work/stack-$1
    state=""
    if aws cloudformation describe-stacks --stack-name "$1" --output text --query \
        'Stacks[0].[[[StackStatus, StackId]], Parameters[].[ParameterKey, ParameterValue], Outputs[].[OutputKey, OutputValue]][]' \
        >"$file" 2>"$work/error"; then
        state=$(head -n 1 "$file" | cut -f 1)
        stack_id=$(head -n 1 "$file" | cut -f 2)
    else
        grep -q 'does not exist' "$work/error" || fail "cannot read stack $1:
$(<"$work/error")"
        : >"$file"
    fi
}

# Prints a parameter or an output of a stack, as of the last `look`.
fact() { awk -F '\t' -v key="$2" 'NR > 1 && $1 == key { print $2; exit }' "$work/stack-$1"; }

# Prints the events of a stack since the last call, oldest first.
print_events() {
    local stack=$1 seen="$work/events-$1" id resource type state reason
    touch "$seen"
    aws cloudformation describe-stack-events --stack-name "$stack" --max-items 200 --output text \
        --query 'StackEvents[].[EventId, LogicalResourceId, ResourceType, ResourceStatus, ResourceStatusReason]' \
        2>/dev/null | grep -v '^None$' | tac >"$work/events" || true
    while IFS=$'\t' read -r id resource type state reason; do
        if ! grep -qxF -- "$id" "$seen"; then
            printf '%s\n' "$id" >>"$seen"
            [[ $reason == None ]] && reason=""
            printf '  %-28s %-38s %-24s %s\n' "$state" "$type" "$resource" "$reason"
        fi
    done <"$work/events"
}

# Waits until no operation of a stack is in progress.
await_stack() {
    local stack=$1
    while :; do
        look "$stack"
        print_events "$stack"
        [[ $state == *_IN_PROGRESS ]] || return 0
        sleep "$poll"
    done
}

# Creates or updates a stack, given its name, its template, and the name of an array of parameters.
# Parameters that are not in the array keep their value.
deploy_stack() {
    local stack=$1 template=$2 given=() key
    local -n parameters=$3
    step "stack $stack"
    for key in "${!parameters[@]}"; do
        given+=("ParameterKey=$key,ParameterValue=${parameters[$key]//,/\\,}")
    done
    local arguments=(--stack-name "$stack" --template-body "file://$template" --capabilities CAPABILITY_IAM
        --tags "Key=catena,Value=$name")
    if [[ -n $dry_run ]]; then
        ((${#given[@]} == 0)) || arguments+=(--parameters "${given[@]}")
        change aws cloudformation create-stack "${arguments[@]}"
        return
    fi
    look "$stack"
    if [[ $state == *_IN_PROGRESS ]]; then
        say "  another operation is in progress; waiting"
        await_stack "$stack"
    fi
    case $state in
    # A stack whose creation failed can only be deleted.
    ROLLBACK_COMPLETE | ROLLBACK_FAILED | DELETE_FAILED | CREATE_FAILED)
        say "  its state is $state; deleting it first"
        delete_stack "$stack"
        state=""
        ;;
    esac
    if [[ -z $state ]]; then
        ((${#given[@]} == 0)) || arguments+=(--parameters "${given[@]}")
        aws cloudformation create-stack "${arguments[@]}" >"$work/out"
    else
        # Earlier events are not printed again.
        aws cloudformation describe-stack-events --stack-name "$stack" --query 'StackEvents[].[EventId]' \
            --output text >"$work/events-$stack" 2>/dev/null || true
        # This also lists outputs, but no template has an output with the name of a parameter.
        while read -r key; do
            if [[ -n $key && -z ${parameters[$key]+given} ]] && is_parameter "$key" "$template"; then
                given+=("ParameterKey=$key,UsePreviousValue=true")
            fi
        done < <(tail -n +2 "$work/stack-$stack" | cut -f 1 | sort -u)
        ((${#given[@]} == 0)) || arguments+=(--parameters "${given[@]}")
        if ! aws cloudformation update-stack "${arguments[@]}" >"$work/out" 2>"$work/error"; then
            grep -q 'No updates are to be performed' "$work/error" || fail "cannot update stack $stack:
$(<"$work/error")"
            say "  nothing to change"
            return
        fi
    fi
    await_stack "$stack"
    case $state in
    CREATE_COMPLETE | UPDATE_COMPLETE) say "  $state" ;;
    *) fail "stack $stack is $state: see the reasons above, in the first lines with FAILED" ;;
    esac
}

# Returns whether a template has a parameter.
is_parameter() {
    sed -n '/^Parameters:/,/^[A-Z]/p' "$2" | grep -q "^  $1:"
}

delete_stack() {
    local stack=$1 id
    if [[ -n $dry_run ]]; then
        change aws cloudformation delete-stack --stack-name "$stack"
        return
    fi
    look "$stack"
    if [[ -z $state || $state == DELETE_COMPLETE ]]; then
        say "  no stack $stack"
        return
    fi
    # By its id, because a deleted stack is not found by its name.
    id=$stack_id
    aws cloudformation delete-stack --stack-name "$stack"
    while :; do
        state=$(aws cloudformation describe-stacks --stack-name "$id" --query 'Stacks[0].StackStatus' \
            --output text 2>"$work/error" || true)
        # The state does not change until the deletion begins.
        [[ $state == DELETE_IN_PROGRESS || ($state == *COMPLETE && $state != DELETE_COMPLETE) ]] || break
        say "  $stack: $state"
        sleep "$poll"
    done
    if [[ -n $state && $state != DELETE_COMPLETE ]]; then
        aws cloudformation describe-stack-events --stack-name "$id" --output text \
            --query "StackEvents[?ResourceStatus=='DELETE_FAILED'].[LogicalResourceId, ResourceStatusReason]" >&2
        fail "stack $stack is $state"
    fi
    say "  deleted $stack"
}

# -- Programs.

# Fails if a program does not run on the nodes.
check_program() {
    local file=$1 wanted
    [[ -f $file ]] || fail "the file $file does not exist"
    [[ $(head -c 4 "$file" | od -An -tx1 | tr -d ' \n') == 7f454c46 ]] || fail "$file is not a Linux program"
    wanted=$(grep -ao 'GLIBC_2\.[0-9.]*' "$file" | cut -d_ -f2 | sort -Vu | tail -n 1 || true)
    if [[ $(printf '%s\n' "$glibc_most" "${wanted:-0}" | sort -V | tail -n 1) != "$glibc_most" ]]; then
        fail "$file needs glibc $wanted, and Amazon Linux 2023 has $glibc_most: build it on an older system,
or static programs with static.sh beside this script, and pass them with --program and --tool"
    fi
}

# Prints a short hash of a file or of the standard input.
hash_of() { sha256sum "$@" | cut -c 1-16; }

# Packs the engine with the other files of a node; the name of the bundle contains its hash.
bundle_engine() {
    step "engine"
    if [[ -z $program || -z $tool ]]; then
        [[ -n $dry_run ]] || need cargo "install Rust (rustup.rs), or pass programs with --program and --tool"
        change cargo build --release --locked --manifest-path "$top/Cargo.toml" \
            -p catena-engine --bin catena-engine -p catena-client --bin catena \
            --features catena-engine/s3,catena-client/s3,catena-client/cli
        program=${program:-$target/release/catena-engine}
        tool=${tool:-$target/release/catena}
    fi
    if [[ -n $dry_run ]]; then
        program_key=artifacts/catena-engine-HASH.tar.gz
        return
    fi
    check_program "$program"
    check_program "$tool"
    local root=$work/root
    install -D -m 755 "$program" "$root/usr/local/bin/catena-engine"
    install -D -m 755 "$tool" "$root/usr/local/bin/catena"
    install -D -m 755 "$here/await-healthy.sh" "$root/usr/local/bin/catena-await-healthy"
    install -D -m 644 "$here/catena-engine.service" "$root/etc/systemd/system/catena-engine.service"
    install -D -m 644 "$here/90-catena.conf" "$root/etc/sysctl.d/90-catena.conf"
    install -D -m 644 "$here/tmpfiles.conf" "$root/etc/tmpfiles.d/catena.conf"
    install -D -m 644 "$here/logrotate.conf" "$root/etc/logrotate.d/catena"
    install -D -m 644 "$here/cloudwatch-agent.json" "$root/etc/catena/cloudwatch-agent.json"
    # The same files give the same bundle, on every machine and at every time.
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$root" -cf - etc usr |
        gzip -n >"$work/engine.tar.gz"
    program_key=artifacts/catena-engine-$(hash_of "$work/engine.tar.gz").tar.gz
    say "  $program_key"
}

bundle_kmeans() {
    step "k-means"
    if [[ -z $bootstrap ]]; then
        [[ -n $dry_run ]] || need cargo "install Rust (rustup.rs), or pass a program with --bootstrap"
        change cargo build --profile lambda --locked --manifest-path "$top/Cargo.toml" \
            -p catena-kmeans --bin bootstrap --features lambda
        bootstrap=$target/lambda/bootstrap
    fi
    if [[ -n $dry_run ]]; then
        code_key=artifacts/catena-kmeans-HASH.zip
        return
    fi
    need zip "install zip"
    check_program "$bootstrap"
    install -D -m 755 "$bootstrap" "$work/function/bootstrap"
    (cd "$work/function" && zip -q -X ../kmeans.zip bootstrap)
    code_key=artifacts/catena-kmeans-$(hash_of "$bootstrap").zip
    say "  $code_key"
}

# Uploads a file unless an object of that name exists: names contain the hash of the contents.
upload() {
    local file=$1 key=$2
    if [[ -z $dry_run ]] && aws s3api head-object --bucket "$bucket" --key "$key" >/dev/null 2>&1; then
        say "  s3://$bucket/$key exists already"
        return
    fi
    change aws s3 cp --only-show-errors "$file" "s3://$bucket/$key"
    [[ -n $dry_run ]] || say "  s3://$bucket/$key"
}

# -- The record.

# Downloads the record of a cluster, if there is one.
read_record() {
    aws s3api get-object --bucket "$1" --key "clusters/$2/config.json" "$work/record" >/dev/null 2>&1
}

record_epoch() { grep -o '"epoch": *[0-9]*' "$work/record" | head -n 1 | grep -o '[0-9]*$'; }

# Prints one line per member: its name, and its first address for clients.
record_members() {
    tr -d '\n' <"$work/record" | grep -oE '"name": *"[^"]*", *"peer": *"[^"]*", *"clients": *\["[^"]*"' |
        cut -d '"' -f 4,12 | tr '"' '\t'
}

# Waits until the record has this many members.
await_members() {
    local wanted=$1 members=0 before=-1 latest=$((SECONDS + minutes * 60))
    step "members in s3://$bucket/clusters/$cluster_name/config.json"
    if [[ -n $dry_run ]]; then
        say "+ wait until there are $wanted"
        return
    fi
    while :; do
        if read_record "$bucket" "$cluster_name"; then
            members=$(record_members | wc -l)
        fi
        if ((members != before)); then
            say "  $members of $wanted"
            before=$members
        fi
        ((members < wanted)) || return 0
        ((SECONDS < latest)) || fail "not all nodes became members within $minutes minutes. Read their log:
  aws logs tail /catena/$cluster_name/engine --region $region
If there is no log, they did not start: read the console output of an instance, or create again with --shell yes"
        sleep "$poll"
    done
}

# -- The commands.

command_create() {
    # shellcheck disable=SC2034 # used by its name
    local -A none=()
    bundle_engine
    [[ -z $with_kmeans ]] || bundle_kmeans
    deploy_stack "$store" "$here/store.yaml" none
    bucket=BUCKET
    [[ -n $dry_run ]] || bucket=$(fact "$store" Bucket)
    step "upload"
    upload "$work/engine.tar.gz" "$program_key"
    [[ -z $with_kmeans ]] || upload "$work/kmeans.zip" "$code_key"

    fix_cluster_parameters
    deploy_stack "$cluster" "$here/cluster.yaml" cluster_parameters
    if [[ -n $with_kmeans ]]; then
        local own_vpc=yes
        [[ -z ${cluster_parameters[VpcId]:-} ]] || own_vpc=no
        [[ -n $dry_run || -z $(fact "$cluster" VpcId) ]] || own_vpc=no
        kmeans_parameters+=([OwnVpc]=$own_vpc [ClusterStack]=$cluster [ClusterName]=$cluster_name [Bucket]=$bucket
            [CodeKey]=$code_key)
        deploy_stack "$kmeans" "$top/kmeans/deploy/kmeans.yaml" kmeans_parameters
    fi
    local nodes=${cluster_parameters[NodeCount]:-2} replicas=${cluster_parameters[Replicas]:-2}
    if [[ -z $dry_run ]]; then
        nodes=$(fact "$cluster" NodeCount) replicas=$(fact "$cluster" Replicas)
    fi
    # Nodes beyond the number of replicas are spares.
    await_members "$((nodes < replicas ? nodes : replicas))"
    step "done"
    [[ -z $dry_run ]] || return 0
    print_outputs "$cluster" "$here/cluster.yaml"
    print_outputs "$kmeans" "$top/kmeans/deploy/kmeans.yaml"
}

# Fixes the parameters that must not change later: the name of the cluster, and the image without
# --new-image.
fix_cluster_parameters() {
    local state="" before nodes=${cluster_parameters[NodeCount]:-} replicas=${cluster_parameters[Replicas]:-}
    local members=${cluster_parameters[MinMembers]:-}
    if [[ -z $dry_run ]]; then
        look "$cluster"
        case $state in
        ROLLBACK_* | DELETE_* | CREATE_FAILED) state="" ;;
        esac
    fi
    if [[ -n $state ]]; then
        before=$(fact "$cluster" ClusterName)
        [[ -z $cluster_name || $cluster_name == "$before" ]] ||
            fail "the nodes belong to the cluster $before: delete it before you create $cluster_name"
        cluster_name=$before
        nodes=${nodes:-$(fact "$cluster" NodeCount)}
        replicas=${replicas:-$(fact "$cluster" Replicas)}
        members=${members:-$(fact "$cluster" MinMembers)}
    fi
    nodes=${nodes:-2} replicas=${replicas:-2} members=${members:-0}
    ((replicas <= nodes)) || fail "$replicas replicas need at least $replicas nodes, and there are $nodes"
    ((members <= replicas)) || fail "--min-members $members: a cluster of $replicas replicas has at most $replicas members"
    # The record of an earlier cluster lists nodes that are gone, and cannot be deleted.
    cluster_name=${cluster_name:-$name-$(date -u +%Y%m%d-%H%M%S)}
    if [[ -z $state && -z $dry_run ]] && read_record "$bucket" "$cluster_name"; then
        fail "this bucket has the record of an earlier cluster $cluster_name: choose another --cluster-name"
    fi
    cluster_parameters+=([ClusterName]=$cluster_name [Bucket]=$bucket [ProgramKey]=$program_key)
    check_network "$state"
    if [[ -n $dry_run ]]; then
        cluster_parameters[Image]=IMAGE
    elif [[ -z $state || -n $new_image ]]; then
        cluster_parameters[Image]=$(aws ssm get-parameter --name "$image_parameter" \
            --query Parameter.Value --output text)
    fi
}

# Chooses the zone, and checks that a network that exists can hold the nodes; the argument is the state of
# the cluster's stack, as of the last `look`, empty if there is none.
check_network() {
    local vpc=${cluster_parameters[VpcId]:-} type=${cluster_parameters[InstanceType]:-} zones before key
    local nodes_subnet=${cluster_parameters[NodesSubnetId]:-} functions_subnet=${cluster_parameters[FunctionsSubnetId]:-}
    if [[ -n $vpc$nodes_subnet$functions_subnet ]]; then
        [[ -n $vpc && -n $nodes_subnet && -n $functions_subnet ]] ||
            fail "an existing network needs all of --vpc, --nodes-subnet and --functions-subnet"
    fi
    if [[ -n $dry_run ]]; then
        cluster_parameters[S3PrefixList]=PREFIX_LIST
        [[ -n $vpc || -n ${cluster_parameters[AvailabilityZone]:-} ]] || cluster_parameters[AvailabilityZone]=ZONE
        return
    fi
    if [[ -n $1 ]]; then
        for key in VpcId NodesSubnetId FunctionsSubnetId AvailabilityZone; do
            before=$(fact "$cluster" "$key")
            [[ -z ${cluster_parameters[$key]:-} || ${cluster_parameters[$key]} == "$before" ]] ||
                fail "the nodes are in ${before:-a VPC of their own}: delete the cluster before you create it in ${cluster_parameters[$key]}"
        done
        type=${type:-$(fact "$cluster" InstanceType)}
        cluster_parameters[AvailabilityZone]=$(fact "$cluster" AvailabilityZone)
        vpc=$(fact "$cluster" VpcId)
    elif [[ -n $vpc ]]; then
        check_subnets "$vpc" "$nodes_subnet" "$functions_subnet"
    fi
    cluster_parameters[S3PrefixList]=$(aws ec2 describe-managed-prefix-lists --output text \
        --filters "Name=prefix-list-name,Values=com.amazonaws.$region.s3" --query 'PrefixLists[0].PrefixListId')
    [[ ${cluster_parameters[S3PrefixList]} == pl-* ]] || fail "region $region has no prefix list of S3"
    type=${type:-$(default_of InstanceType "$here/cluster.yaml")}
    zones=$(aws ec2 describe-instance-type-offerings --location-type availability-zone --output text \
        --filters "Name=instance-type,Values=$type" --query 'InstanceTypeOfferings[].[Location]' | sort)
    [[ -n $zones && $zones != None ]] || fail "region $region has no instances of type $type: choose another --instance-type"
    # A stack of an earlier version may have no zone: then it has the first of the region.
    if [[ -z ${cluster_parameters[AvailabilityZone]:-} ]]; then
        [[ -z $1 ]] || return 0
        cluster_parameters[AvailabilityZone]=$(head -n 1 <<<"$zones")
    fi
    grep -qxF -- "${cluster_parameters[AvailabilityZone]}" <<<"$zones" ||
        fail "zone ${cluster_parameters[AvailabilityZone]} has no instances of type $type; these have: ${zones//$'\n'/, }"
    [[ -n $vpc ]] || say "  zone ${cluster_parameters[AvailabilityZone]} has $type"
}

# Prints the default of a parameter of a template.
default_of() { sed -n "/^  $1:/,/^  [A-Z]/ s/^    Default: *//p" "$2" | tr -d '"'; }

# Checks two subnets of an existing VPC, whose zone becomes that of the cluster.
check_subnets() {
    local vpc=$1 subnet found of zone zone_before="" routes
    shift
    for subnet in "$@"; do
        found=$(aws ec2 describe-subnets --subnet-ids "$subnet" --output text \
            --query 'Subnets[0].[VpcId, AvailabilityZone]' 2>"$work/error") || fail "cannot find $subnet:
$(<"$work/error")"
        IFS=$'\t' read -r of zone <<<"$found"
        [[ $of == "$vpc" ]] || fail "$subnet is in $of, not in $vpc"
        # Latency between zones is a multiple of that within one.
        [[ -z $zone_before || $zone == "$zone_before" ]] ||
            fail "the subnets are in two zones, $zone_before and $zone: choose two of one zone"
        zone_before=$zone
        # A subnet without a table of its own has the main one.
        routes=$(aws ec2 describe-route-tables --filters "Name=association.subnet-id,Values=$subnet" --output text \
            --query 'RouteTables[].Routes[].[DestinationCidrBlock, DestinationPrefixListId]')
        [[ -n $routes && $routes != None ]] || routes=$(aws ec2 describe-route-tables --output text \
            --filters "Name=vpc-id,Values=$vpc" Name=association.main,Values=true \
            --query 'RouteTables[].Routes[].[DestinationCidrBlock, DestinationPrefixListId]')
        grep -qE '(^|\s)(0\.0\.0\.0/0|pl-)' <<<"$routes" ||
            fail "$subnet has no route to S3: add a gateway endpoint of com.amazonaws.$region.s3, or a NAT"
    done
    [[ -z ${cluster_parameters[AvailabilityZone]:-} || ${cluster_parameters[AvailabilityZone]} == "$zone" ]] ||
        fail "the subnets are in zone $zone, not in ${cluster_parameters[AvailabilityZone]}"
    cluster_parameters[AvailabilityZone]=$zone
}

# Prints the outputs of a stack, as of the last `look`.
print_outputs() {
    local key
    [[ -s $work/stack-$1 ]] || return 0
    while read -r key; do
        printf '  %-20s %s\n' "$key" "$(fact "$1" "$key")"
    done < <(sed -n '/^Outputs:/,$ s/^  \([A-Za-z]*\):$/\1/p' "$2")
}

# Prints a value as JSON: numbers as they are, anything else as text.
json_of() {
    if [[ $1 =~ ^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$ ]]; then
        printf '%s' "$1"
    else
        local text=${1//\\/\\\\}
        printf '"%s"' "${text//\"/\\\"}"
    fi
}

# The driver is an invocation of the function, because it has to reach the nodes; this machine need not.
command_run() {
    local function=$name-kmeans engine='s3://BUCKET/clusters#CLUSTER' where result key
    [[ -n $data ]] || fail "--data is missing: a local file or folder, or s3://BUCKET/data/..."
    bucket=BUCKET
    job=${job:-run-$(date -u +%Y%m%d-%H%M%S)}
    if [[ -z $dry_run ]]; then
        look "$cluster"
        case $state in
        CREATE_COMPLETE | UPDATE_COMPLETE | UPDATE_ROLLBACK_COMPLETE) ;;
        *) fail "stack $cluster is ${state:-not there}: create the cluster first; see deploy.sh status" ;;
        esac
        bucket=$(fact "$cluster" Bucket) engine=$(fact "$cluster" Engine)
        look "$kmeans"
        [[ -n $state ]] || fail "there is no function: run deploy.sh create --kmeans"
        function=$(fact "$kmeans" Function)
    fi
    case $data in
    "s3://$bucket/data/"*) where=$data ;;
    s3://*) fail "the function reads only s3://$bucket/data/: copy the data there, or pass a local file" ;;
    *) upload_data ;;
    esac
    result=s3://$bucket/results/$job.centroids.csv
    {
        printf '{"run":{"job":%s,"engine":%s,"workers":%s,"k":%s,"data":%s,"out":%s' \
            "\"$job\"" "$(json_of "$engine")" "$workers" "$k" "$(json_of "$where")" "$(json_of "$result")"
        for key in "${!settings[@]}"; do
            printf ',"%s":%s' "$key" "$(json_of "${settings[$key]}")"
        done
        printf '}}'
    } >"$work/event"
    step "job $job: $workers workers"
    drive "$function"
    [[ -z $out ]] || change aws s3 cp --only-show-errors "$result" "$out"
}

# Uploads local data below data/, and sets `where` to where it is.
upload_data() {
    local options=(--only-show-errors)
    where=s3://$bucket/data/$job/
    step "upload"
    if [[ -n $dry_run ]]; then
        [[ ! -d $data ]] || options+=(--recursive)
    elif [[ -d $data ]]; then
        options+=(--recursive)
    else
        [[ -f $data ]] || fail "$data is neither a file nor a folder"
    fi
    # Files come into a folder of the job, so that other data is not part of it.
    if [[ -d $data ]]; then
        change aws s3 cp "${options[@]}" "$data" "$where"
    else
        where=$where${data##*/}
        change aws s3 cp "${options[@]}" "$data" "$where"
    fi
    say "  $where"
}

# Invokes a function with the event of a job until the job is over. A driver that runs out of time, or that
# dies, is invoked again, and goes on with the job.
drive() {
    local function=$1 failed message before="" same=0
    while :; do
        # Neither the tool nor a retry of its own may end the wait for a job of many minutes.
        if [[ -n $dry_run ]]; then
            change aws lambda invoke --function-name "$function" --payload "fileb://EVENT" RESULT
            return
        fi
        failed=$(AWS_MAX_ATTEMPTS=1 aws lambda invoke --function-name "$function" --payload "fileb://$work/event" \
            --cli-read-timeout 960 --query FunctionError --output text "$work/result" 2>"$work/error") ||
            fail "cannot invoke $function:
$(<"$work/error")"
        if [[ $failed == None ]]; then
            sed 's/^{//; s/}$//; s/,"/\n"/g; s/":/": /g' "$work/result" | sed 's/^/  /'
            printf '\n'
            return
        fi
        message=$(sed -n 's/.*"errorMessage": *"\(\([^"\\]\|\\.\)*\)".*/\1/p' "$work/result")
        # An error that another invocation would meet again.
        if grep -q '"errorType": *"Failed"' "$work/result"; then
            fail "${message:-the job failed}"
        fi
        # Anything else is the end of an invocation: its time was over, which says how far the job is, or
        # its environment died.
        if grep -q '"errorType": *"Again"' "$work/result" && [[ $message != "$before" ]]; then
            same=0
        else
            same=$((same + 1))
        fi
        ((same < 3)) || fail "the job does not go on: ${message:-$(<"$work/result")}
Read its log: aws logs tail /catena/$(fact "$cluster" ClusterName)/$function --region $region"
        say "  ${message:-the invocation ended}; going on"
        before=$message
    done
}

command_status() {
    if [[ -n $dry_run ]]; then
        say "+ read the stacks $store, $cluster and $kmeans, the nodes, the record and the alarms"
        return
    fi
    local stack state found="" well=1 bucket wanted nodes
    step "stacks"
    for stack in "$store" "$cluster" "$kmeans"; do
        look "$stack"
        printf '  %-28s %s\n' "$stack" "${state:-none}"
        [[ -z $state ]] || found=1
        case $state in
        "" | CREATE_COMPLETE | UPDATE_COMPLETE) ;;
        *) well="" ;;
        esac
    done
    if [[ ! -s $work/stack-$cluster ]]; then
        if [[ -n $found ]]; then
            say "  there are no nodes: they were deleted, or creating them failed"
            [[ ! -s $work/stack-$store ]] || say "  the bucket $(fact "$store" Bucket) is kept"
            # A function without nodes is no state that a command leaves.
            [[ -n $well && ! -s $work/stack-$kmeans ]] || exit 1
        fi
        exit 3
    else
        cluster_name=$(fact "$cluster" ClusterName) bucket=$(fact "$cluster" Bucket)
        nodes=$(fact "$cluster" NodeCount) wanted=$(fact "$cluster" Replicas)
        ((wanted <= nodes)) || wanted=$nodes
        step "nodes of $cluster_name"
        aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names "$(fact "$cluster" Nodes)" --output text \
            --query 'AutoScalingGroups[0].Instances[].[InstanceId, InstanceType, LifecycleState, HealthStatus]' |
            sed 's/^/  /'
        step "members"
        if read_record "$bucket" "$cluster_name"; then
            say "  epoch $(record_epoch)"
            record_members | sed 's/^/  /'
            if (($(record_members | wc -l) < wanted)); then
                say "  fewer members than the $wanted replicas"
                well=""
            fi
        else
            say "  no record yet"
            well=""
        fi
        step "alarms"
        aws cloudwatch describe-alarms --alarm-name-prefix "$name-" --output text \
            --query 'MetricAlarms[].[StateValue, AlarmDescription]' | grep -v '^None$' >"$work/alarms" || true
        sed 's/^/  /' "$work/alarms"
        if grep -q '^ALARM' "$work/alarms"; then
            well=""
        fi
        step "outputs"
        print_outputs "$cluster" "$here/cluster.yaml"
        print_outputs "$kmeans" "$top/kmeans/deploy/kmeans.yaml"
    fi
    [[ -n $well ]]
}

command_delete() {
    local bucket=BUCKET what="the nodes of $name with all objects in their memory"
    [[ -z $with_data ]] || what="$what, and its bucket with records, data and results"
    if [[ -z $yes && -z $dry_run ]]; then
        [[ -t 0 ]] || fail "this deletes $what: pass --yes to confirm"
        local answer
        read -r -p "This deletes $what. Type $name to confirm: " answer
        [[ $answer == "$name" ]] || fail "nothing was deleted"
    fi
    step "function"
    [[ -n $dry_run ]] || say "  deleting a function in a VPC takes some minutes, up to 20"
    delete_stack "$kmeans"
    step "nodes"
    delete_stack "$cluster"
    step "bucket"
    if [[ -z $with_data ]]; then
        say "  $store is kept; delete it with --with-data"
        return
    fi
    if [[ -z $dry_run ]]; then
        look "$store"
        bucket=$(fact "$store" Bucket)
    fi
    # The policy denies deleting records, which are not needed any more.
    if [[ -n $bucket ]]; then
        change aws s3api delete-bucket-policy --bucket "$bucket"
        change aws s3 rm --recursive --only-show-errors "s3://$bucket"
    fi
    delete_stack "$store"
}

main "$@"
