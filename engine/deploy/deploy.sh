#!/usr/bin/env bash
# Catena on AWS: creates, shows and deletes a cluster. README.md beside this file says what of, and what it costs.
set -euo pipefail

usage() {
    cat <<'END'
Usage: deploy.sh create|status|delete [OPTIONS]

  create    build, upload, and create the stacks or change them; safe to repeat
  status    stacks, nodes, members, alarms; exits with 0 if all is well, 1 if not, 3 if there is nothing
  delete    delete the nodes and all objects in their memory; the bucket stays unless --with-data

Options of all three:
  --name NAME             what the stacks' names begin with [catena]
  --region REGION         [AWS_REGION, AWS_DEFAULT_REGION, or the profile's]
  --dry-run               print what would be done, in order, and ask AWS nothing

Options of create. What is not said stays as it is, or is as the template has it:
  --nodes N               [2]
  --replicas N            nodes that hold each object [2]
  --min-members N         with fewer, the cluster takes no updates [1 of 2 replicas, 2 of more]
  --instance-type TYPE    x86-64, with as many cpus as --cores says [r5.2xlarge]
  --cores LIST            cpus to run on, one thread each [0-7]
  --memory-per-core SIZE  [6GiB]
  --zone ZONE             all nodes and functions are in one [the region's first]
  --shell yes|no          shells on nodes through Systems Manager [no]
  --email ADDRESS         who is told of alarms
  --new-image             the latest Amazon Linux instead of the one the nodes have
  --cluster-name NAME     a name that no cluster in this bucket had before [NAME and the time]
  --program FILE          an engine that is built already, with the feature s3
  --kmeans                the Lambda function, too
  --bootstrap FILE        its program, built already
  --run-on-upload yes|no  whether an object under data/ is clustered [no]
  --clusters K            into how many [10]
  --wait MINUTES          for members to appear in the record [10]

Options of delete:
  --with-data             the bucket, too, with records, data and results
  --yes                   do not ask

Examples:
  deploy.sh create --dry-run
  deploy.sh create --name km --nodes 3 --replicas 2 --kmeans
  deploy.sh status --name km
  deploy.sh delete --name km
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
# Where cargo puts what it builds.
target=${CARGO_TARGET_DIR:-$top/target}

# How often AWS is asked how far it is, in seconds.
poll=${CATENA_DEPLOY_POLL:-5}
# What programs may ask of the C library of Amazon Linux 2023, on nodes and under provided.al2023.
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
    create | status | delete) shift ;;
    -h | --help | help) usage && exit ;;
    "") usage >&2 && exit 2 ;;
    *) fail "\`$command\` is none of create, status, delete; see deploy.sh --help" ;;
    esac
    parse "$command" "$@"
    store=$name-store cluster=$name-cluster kmeans=$name-kmeans
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if [[ -z $dry_run ]]; then
        check_account
    else
        say "Nothing is done; lines with + are what would be."
    fi
    "$command"
}

# -- The command line.

parse() {
    local command=$1
    shift
    name=catena region="" dry_run="" program="" with_kmeans="" bootstrap="" minutes=10 with_data="" yes=""
    new_image="" cluster_name=""
    # Parameters of the two stacks that were given.
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
    --bootstrap) take bootstrap '.+' "$flag" "$@" ;;
    --wait) take minutes '[0-9]+' "$flag" "$@" ;;
    --new-image) new_image=1 taken=0 ;;
    --kmeans) with_kmeans=1 taken=0 ;;
    *) unknown "$flag" create ;;
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

unknown() { fail "\`$1\` is no option of $2; see deploy.sh --help"; }

# Sets a variable to the value of a flag, if it looks like one.
take() {
    local -n variable=$1
    local pattern=$2 flag=$3
    (($# >= 4)) || fail "$flag takes a value"
    [[ $4 =~ ^($pattern)$ ]] || fail "$flag: \`$4\` is not what it takes ($pattern)"
    # shellcheck disable=SC2034 # it is another name for somebody else's variable
    variable=$4
}

# Sets a parameter of the cluster's stack likewise.
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
    need aws "install the AWS command line (pip install awscli, or AWS' own package)"
    if [[ -z $region ]]; then
        region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region 2>/dev/null || true)}}
    fi
    [[ -n $region ]] || fail "no region: give one with --region, or set AWS_REGION"
    # Both, for all versions of the tool.
    export AWS_REGION=$region AWS_DEFAULT_REGION=$region AWS_PAGER="" AWS_MAX_ATTEMPTS=5
    local who
    if ! who=$(aws sts get-caller-identity --query '[Account, Arn]' --output text 2>"$work/error"); then
        fail "AWS does not know who you are; set AWS_PROFILE, or log in. It said:
$(<"$work/error")"
    fi
    account=${who%%$'\t'*}
    say "account $account, region $region, as ${who#*$'\t'}"
}

# Runs a command that changes something, or prints it.
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

# Looks at a stack: its status goes into `state`, which is empty if there is none; the rest is for `fact`.
look() {
    local file=$work/stack-$1
    state=""
    if aws cloudformation describe-stacks --stack-name "$1" --output text --query \
        'Stacks[0].[[[StackStatus, StackId]], Parameters[].[ParameterKey, ParameterValue], Outputs[].[OutputKey, OutputValue]][]' \
        >"$file" 2>"$work/error"; then
        state=$(head -n 1 "$file" | cut -f 1)
        stack_id=$(head -n 1 "$file" | cut -f 2)
    else
        grep -q 'does not exist' "$work/error" || fail "cannot look at stack $1:
$(<"$work/error")"
        : >"$file"
    fi
}

# A parameter or an output of a stack, as it was at the last look.
fact() { awk -F '\t' -v key="$2" 'NR > 1 && $1 == key { print $2; exit }' "$work/stack-$1"; }

# What happened to its resources since the last look, oldest first. Remembers what it has told.
tell_events() {
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

# Waits until a stack is at rest.
await_stack() {
    local stack=$1
    while :; do
        look "$stack"
        tell_events "$stack"
        [[ $state == *_IN_PROGRESS ]] || return 0
        sleep "$poll"
    done
}

# Creates or changes a stack: its name, its template, and the name of an array of its parameters. What the
# array does not have stays as it is.
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
        say "  somebody is at it already; waiting"
        await_stack "$stack"
    fi
    case $state in
    # What could not be created can only be deleted.
    ROLLBACK_COMPLETE | ROLLBACK_FAILED | DELETE_FAILED | CREATE_FAILED)
        say "  it was left as $state; deleting it first"
        delete_stack "$stack"
        state=""
        ;;
    esac
    if [[ -z $state ]]; then
        ((${#given[@]} == 0)) || arguments+=(--parameters "${given[@]}")
        aws cloudformation create-stack "${arguments[@]}" >"$work/out"
    else
        # Its past is told already.
        aws cloudformation describe-stack-events --stack-name "$stack" --query 'StackEvents[].[EventId]' \
            --output text >"$work/events-$stack" 2>/dev/null || true
        # Outputs are among these, too, but no template has one that is called like another parameter.
        while read -r key; do
            if [[ -n $key && -z ${parameters[$key]+given} ]] && is_parameter "$key" "$template"; then
                given+=("ParameterKey=$key,UsePreviousValue=true")
            fi
        done < <(tail -n +2 "$work/stack-$stack" | cut -f 1 | sort -u)
        ((${#given[@]} == 0)) || arguments+=(--parameters "${given[@]}")
        if ! aws cloudformation update-stack "${arguments[@]}" >"$work/out" 2>"$work/error"; then
            grep -q 'No updates are to be performed' "$work/error" || fail "stack $stack cannot be changed:
$(<"$work/error")"
            say "  nothing to change"
            return
        fi
    fi
    await_stack "$stack"
    case $state in
    CREATE_COMPLETE | UPDATE_COMPLETE) say "  $state" ;;
    *) fail "stack $stack is $state: the reasons stand above, behind the first lines with FAILED" ;;
    esac
}

# Whether a template has this parameter.
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
    # By its id, since it has no name once it is gone.
    id=$stack_id
    aws cloudformation delete-stack --stack-name "$stack"
    while :; do
        state=$(aws cloudformation describe-stacks --stack-name "$id" --query 'Stacks[0].StackStatus' \
            --output text 2>"$work/error" || true)
        # Until it begins, it is as it was.
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

# Refuses what would not run there.
check_program() {
    local file=$1 wanted
    [[ -f $file ]] || fail "there is no file $file"
    [[ $(head -c 4 "$file" | od -An -tx1 | tr -d ' \n') == 7f454c46 ]] || fail "$file is no Linux program"
    wanted=$(grep -ao 'GLIBC_2\.[0-9.]*' "$file" | cut -d_ -f2 | sort -Vu | tail -n 1 || true)
    if [[ $(printf '%s\n' "$glibc_most" "${wanted:-0}" | sort -V | tail -n 1) != "$glibc_most" ]]; then
        fail "$file takes glibc $wanted, and Amazon Linux 2023 has $glibc_most: build it on an older system,
such as the image that the Dockerfile beside this script builds in"
    fi
}

# The hash of a file or of the standard input, short enough for a name.
hash_of() { sha256sum "$@" | cut -c 1-16; }

# Packs the engine with what a node needs beside it; the bundle's name says what is in it.
bundle_engine() {
    step "engine"
    if [[ -z $program ]]; then
        [[ -n $dry_run ]] || need cargo "install Rust (rustup.rs), or give a program with --program"
        change cargo build --release --locked --manifest-path "$top/Cargo.toml" \
            -p catena-engine --bin catena-engine --features s3
        program=$target/release/catena-engine
    fi
    if [[ -n $dry_run ]]; then
        program_key=artifacts/catena-engine-HASH.tar.gz
        return
    fi
    check_program "$program"
    local root=$work/root
    install -D -m 755 "$program" "$root/usr/local/bin/catena-engine"
    install -D -m 644 "$here/catena-engine.service" "$root/etc/systemd/system/catena-engine.service"
    install -D -m 644 "$here/90-catena.conf" "$root/etc/sysctl.d/90-catena.conf"
    install -D -m 644 "$here/tmpfiles.conf" "$root/etc/tmpfiles.d/catena.conf"
    install -D -m 644 "$here/logrotate.conf" "$root/etc/logrotate.d/catena"
    install -D -m 644 "$here/cloudwatch-agent.json" "$root/etc/catena/cloudwatch-agent.json"
    # The same files make the same bundle, whoever packs them and when.
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$root" -cf - etc usr |
        gzip -n >"$work/engine.tar.gz"
    program_key=artifacts/catena-engine-$(hash_of "$work/engine.tar.gz").tar.gz
    say "  $program_key"
}

bundle_kmeans() {
    step "k-means"
    if [[ -z $bootstrap ]]; then
        [[ -n $dry_run ]] || need cargo "install Rust (rustup.rs), or give a program with --bootstrap"
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

# Uploads a file unless what has this name is there: names say what is in them.
upload() {
    local file=$1 key=$2
    if [[ -z $dry_run ]] && aws s3api head-object --bucket "$bucket" --key "$key" >/dev/null 2>&1; then
        say "  s3://$bucket/$key is there already"
        return
    fi
    change aws s3 cp --only-show-errors "$file" "s3://$bucket/$key"
    [[ -n $dry_run ]] || say "  s3://$bucket/$key"
}

# -- The record.

# Gets the record of a cluster, if there is one.
read_record() {
    aws s3api get-object --bucket "$1" --key "clusters/$2/config.json" "$work/record" >/dev/null 2>&1
}

record_epoch() { grep -o '"epoch": *[0-9]*' "$work/record" | head -n 1 | grep -o '[0-9]*$'; }

# A member a line: its name, and the first of its addresses for clients.
record_members() {
    tr -d '\n' <"$work/record" | grep -oE '"name": *"[^"]*", *"peer": *"[^"]*", *"clients": *\["[^"]*"' |
        cut -d '"' -f 4,12 | tr '"' '\t'
}

# Waits until as many nodes are members as hold each object.
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
        ((SECONDS < latest)) || fail "not all nodes became members within $minutes minutes. What they say:
  aws logs tail /catena/$cluster_name/engine --region $region
If there is no log at all, they did not start: look at the console output of an instance, or create again with --shell yes"
        sleep "$poll"
    done
}

# -- The three commands.

create() {
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
        kmeans_parameters+=([ClusterStack]=$cluster [ClusterName]=$cluster_name [Bucket]=$bucket
            [CodeKey]=$code_key)
        deploy_stack "$kmeans" "$top/kmeans/deploy/kmeans.yaml" kmeans_parameters
    fi
    local nodes=${cluster_parameters[NodeCount]:-2} replicas=${cluster_parameters[Replicas]:-2}
    if [[ -z $dry_run ]]; then
        nodes=$(fact "$cluster" NodeCount) replicas=$(fact "$cluster" Replicas)
    fi
    # More nodes than replicas are spare.
    await_members "$((nodes < replicas ? nodes : replicas))"
    step "done"
    [[ -z $dry_run ]] || return 0
    tell_outputs "$cluster" "$here/cluster.yaml"
    tell_outputs "$kmeans" "$top/kmeans/deploy/kmeans.yaml"
}

# What has to stay the same once it was chosen: the cluster's name, and the image unless told otherwise.
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
            fail "these nodes are the cluster $before: delete them before they can be $cluster_name"
        cluster_name=$before
        nodes=${nodes:-$(fact "$cluster" NodeCount)}
        replicas=${replicas:-$(fact "$cluster" Replicas)}
        members=${members:-$(fact "$cluster" MinMembers)}
    fi
    nodes=${nodes:-2} replicas=${replicas:-2} members=${members:-0}
    ((replicas <= nodes)) || fail "$replicas replicas take at least as many nodes, and there are $nodes"
    ((members <= replicas)) || fail "--min-members $members: there are never more than $replicas members"
    # The record of an earlier cluster names nodes that are gone, and cannot be deleted.
    cluster_name=${cluster_name:-$name-$(date -u +%Y%m%d-%H%M%S)}
    if [[ -z $state && -z $dry_run ]] && read_record "$bucket" "$cluster_name"; then
        fail "there was a cluster $cluster_name in this bucket before: choose another --cluster-name"
    fi
    cluster_parameters+=([ClusterName]=$cluster_name [Bucket]=$bucket [ProgramKey]=$program_key)
    if [[ -n $dry_run ]]; then
        cluster_parameters[Image]=IMAGE
    elif [[ -z $state || -n $new_image ]]; then
        cluster_parameters[Image]=$(aws ssm get-parameter --name "$image_parameter" \
            --query Parameter.Value --output text)
    fi
}

# What a stack put out, as it was at the last look.
tell_outputs() {
    local key
    [[ -s $work/stack-$1 ]] || return 0
    while read -r key; do
        printf '  %-20s %s\n' "$key" "$(fact "$1" "$key")"
    done < <(sed -n '/^Outputs:/,$ s/^  \([A-Za-z]*\):$/\1/p' "$2")
}

status() {
    if [[ -n $dry_run ]]; then
        say "+ look at the stacks $store, $cluster and $kmeans, the nodes, the record and the alarms"
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
    [[ -n $found ]] || exit 3
    if [[ -s $work/stack-$cluster ]]; then
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
                say "  fewer than the $wanted that should hold each object"
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
        tell_outputs "$cluster" "$here/cluster.yaml"
        tell_outputs "$kmeans" "$top/kmeans/deploy/kmeans.yaml"
    fi
    [[ -n $well ]]
}

delete() {
    local bucket=BUCKET what="the nodes of $name with all objects in their memory"
    [[ -z $with_data ]] || what="$what, and its bucket with records, data and results"
    if [[ -z $yes && -z $dry_run ]]; then
        [[ -t 0 ]] || fail "this deletes $what: say --yes"
        local answer
        read -r -p "This deletes $what. Type $name to go on: " answer
        [[ $answer == "$name" ]] || fail "nothing was deleted"
    fi
    step "function"
    [[ -n $dry_run ]] || say "  a function in a VPC takes some minutes, up to 20, to leave it"
    delete_stack "$kmeans"
    step "nodes"
    delete_stack "$cluster"
    step "bucket"
    if [[ -z $with_data ]]; then
        say "  $store stays; delete it with --with-data"
        return
    fi
    if [[ -z $dry_run ]]; then
        look "$store"
        bucket=$(fact "$store" Bucket)
    fi
    # It denies the deletion of records, which is in order now that nobody reads them any more.
    if [[ -n $bucket ]]; then
        change aws s3api delete-bucket-policy --bucket "$bucket"
        change aws s3 rm --recursive --only-show-errors "s3://$bucket"
    fi
    delete_stack "$store"
}

main "$@"
