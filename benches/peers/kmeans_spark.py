#!/usr/bin/env python3
"""k-means by Spark MLlib, on given points from given centroids, timed by the iteration.

    apt-get install default-jre-headless libopenblas0
    pip install pyspark==4.3.0 numpy
    python3 kmeans_spark.py --data points.npy --centroids centroids.npy --workers 2
    python3 kmeans_spark.py … --master spark://HOST:7077 --workers 16     # points where all nodes find them

Two ways through MLlib, since neither has everything:

--api rdd        `mllib.clustering.KMeans` with an initial model, as `KMeans.train(…, initialModel=…)` of PySpark calls
                 it: the given centroids. Distances are dot products in Java; vector instructions are given to them.
--api dataframe  `ml.clustering.KMeans` with the block solver, which multiplies matrices in the native BLAS. It takes no
                 initial centroids, so it draws points of its own; what ten iterations from those must cost is
                 computed with numpy, once and untimed, as `cost_expected`.

An iteration is a job of Spark's: from its submission to that of the next one, of the last one to its end. The first
one also computes norms and fills caches, and is left out of the mean. Points are cached in the JVM before anything is
timed. A native BLAS is wanted unless --blas none; if it cannot be loaded this says that it is missing and ends, and
`blas` says what was loaded.
"""

import os
import shutil
import subprocess
import sys

import kmeans_peer

# Points that numpy looks at together.
BLOCK = 50_000


def add(parser):
    parser.add_argument("--api", choices=["rdd", "dataframe"], default="rdd", help="which way through MLlib")
    parser.add_argument("--master", help="a cluster's master; local[WORKERS] by default")
    parser.add_argument("--partitions", type=int, help="parts of the points; as many as workers by default")
    parser.add_argument("--memory", default="4g", help="memory of the driver and of each executor")
    parser.add_argument("--blas", default="libblas.so.3", help="the native BLAS to load, or `none`")


def main():
    parsed = kmeans_peer.arguments(__doc__.splitlines()[0], add)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    # Spark's tasks are the threads; a BLAS that starts more of its own would only get into their way.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    try:
        import numpy
        import pyspark
    except ImportError as error:
        kmeans_peer.missing(f"{error.name}: pip install pyspark==4.3.0 numpy")
    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if "JAVA_HOME" in os.environ else "java"
    if shutil.which(java) is None:
        kmeans_peer.missing("java: apt-get install default-jre-headless")

    # The points are read by this Python, unless the environment names another.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = start(parsed, java)
    blas = loaded_blas(session, parsed)
    points, centroids = kmeans_peer.read(numpy, parsed)
    vectors = load(session, parsed, points.shape[0])
    about = {
        "peer": f"spark {parsed.api}",
        "version": f"Spark {pyspark.__version__}, Java {session._jvm.java.lang.System.getProperty('java.version')}",
        "workers": parsed.workers,
        "precision": "float64",
        "blas": blas,
        "skip": 1,
    }
    if parsed.api == "rdd":
        fit = Rdd(session, parsed, vectors, centroids)
    else:
        fit = DataFrame(session, parsed, vectors, len(centroids), lambda centres: cost_of(numpy, points, centres))
        about["cost_expected"] = expected(numpy, points, numpy.array(fit.drawn()), parsed.iterations)
    kmeans_peer.main(parsed, about, fit)
    session.stop()


def start(parsed, java):
    """A session with native BLAS and Java's vector instructions."""
    from pyspark.sql import SparkSession

    options = []
    listed = subprocess.run([java, "--list-modules"], capture_output=True, text=True, check=True).stdout
    if "jdk.incubator.vector" in listed:
        options.append("--add-modules=jdk.incubator.vector")
    if parsed.blas != "none":
        key = "nativeLibPath" if "/" in parsed.blas else "nativeLib"
        options.append(f"-Ddev.ludovic.netlib.blas.{key}={parsed.blas}")
    builder = SparkSession.builder.master(parsed.master or f"local[{parsed.workers}]").appName("kmeans")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": parsed.memory,
        "spark.executor.memory": parsed.memory,
        "spark.driver.maxResultSize": "0",
        "spark.driver.extraJavaOptions": " ".join(options),
        "spark.executor.extraJavaOptions": " ".join(options),
        "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
    }
    if parsed.master is None:
        settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def loaded_blas(session, parsed):
    """What MLlib's linear algebra really calls, in the driver's JVM, which in local mode is all there is."""
    jvm = session._jvm
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    module = jvm.java.lang.Class.forName("org.apache.spark.ml.linalg.BLAS$", True, loader)
    linalg = module.getField("MODULE$").get(None)
    native, java = (one.getClass().getSimpleName() for one in (linalg.nativeBLAS(), linalg.javaBLAS()))
    if parsed.blas == "none":
        return f"none, {java}"
    if native != "JNIBLAS":
        kmeans_peer.missing(f"{parsed.blas}, Spark would use {native}: apt-get install libopenblas0, or --blas none")
    pid = jvm.java.lang.ProcessHandle.current().pid()
    with open(f"/proc/{pid}/maps") as maps:
        files = {line.split()[-1] for line in maps if "blas" in line.rsplit("/", 1)[-1]}
    names = (os.path.basename(path) for path in files if ".so" in path)
    # What binds them to Java has another name every time.
    libraries = sorted(name for name in names if not name.startswith("libnetlib"))
    return f"{native} with {', '.join(libraries)}; {java}"


def load(session, parsed, rows):
    """The points as an RDD of vectors, each partition read where it is held."""
    from pyspark.mllib.linalg import DenseVector

    path, parts = os.path.abspath(parsed.data), parsed.partitions or parsed.workers

    def read(part):
        import numpy

        points = numpy.load(path, mmap_mode="r")
        for row in points[rows * part // parts : rows * (part + 1) // parts]:
            yield DenseVector(row.astype(numpy.float64))

    return session.sparkContext.parallelize(range(parts), parts).flatMap(read)


class Jobs:
    """The iterations since the last look: jobs that gather sums in k-means' own source file."""

    def __init__(self, session):
        self.store = session.sparkContext._jsc.sc().statusStore()
        self.seen = -1

    def seconds(self):
        jobs = self.store.jobsList(None)
        jobs = [jobs.apply(i) for i in range(jobs.size())]
        new = sorted((job for job in jobs if job.jobId() > self.seen), key=lambda job: job.jobId())
        self.seen = max([self.seen] + [job.jobId() for job in new])
        steps = [job for job in new if job.name().startswith("collectAsMap at KMeans.scala")]
        if not steps:
            return []
        stamps = [job.submissionTime().get().getTime() for job in steps]
        stamps.append(steps[-1].completionTime().get().getTime())
        return [(after - before) / 1e3 for before, after in zip(stamps, stamps[1:])]


class Rdd:
    """`mllib`, from an initial model."""

    def __init__(self, session, parsed, vectors, centroids):
        from pyspark.mllib.common import _to_java_object_rdd

        self.jvm, self.parsed, self.k, self.jobs = session._jvm, parsed, len(centroids), Jobs(session)
        mllib = self.jvm.org.apache.spark.mllib
        level = session.sparkContext._getJavaStorageLevel(_memory_only())
        self.points = _to_java_object_rdd(vectors).rdd().persist(level)
        self.points.count()
        rows = self.jvm.java.util.ArrayList()
        for centroid in centroids:
            values = session.sparkContext._gateway.new_array(self.jvm.double, len(centroid))
            for i, value in enumerate(centroid):
                values[i] = float(value)
            rows.add(mllib.linalg.Vectors.dense(values))
        self.initial = mllib.clustering.KMeansModel(rows)

    def __call__(self):
        self.jobs.seconds()
        algorithm = self.jvm.org.apache.spark.mllib.clustering.KMeans()
        algorithm.setK(self.k).setMaxIterations(self.parsed.iterations).setEpsilon(0.0)
        model = algorithm.setInitialModel(self.initial).run(self.points)
        return self.jobs.seconds(), model.computeCost(self.points)


class DataFrame:
    """`ml` with the block solver, from points that it draws."""

    def __init__(self, session, parsed, vectors, k, cost_of):
        from pyspark.ml.linalg import DenseVector

        self.parsed, self.k, self.cost_of, self.jobs = parsed, k, cost_of, Jobs(session)
        rows = vectors.map(lambda vector: (DenseVector(vector.toArray()),))
        self.points = session.createDataFrame(rows, ["features"]).persist(_memory_only())
        self.points.count()

    def _fit(self, iterations):
        from pyspark.ml.clustering import KMeans

        algorithm = KMeans(k=self.k, initMode="random", tol=0.0, maxIter=iterations, seed=1, solver="block")
        return algorithm.fit(self.points)

    def drawn(self):
        """The centroids that it begins with."""
        return self._fit(0).clusterCenters()

    def __call__(self):
        self.jobs.seconds()
        model = self._fit(self.parsed.iterations)
        return self.jobs.seconds(), self.cost_of(model.clusterCenters())


def _memory_only():
    from pyspark import StorageLevel

    # As objects: what Scala's MEMORY_ONLY means, which Python's does not.
    return StorageLevel(False, True, False, True)


def assigned(numpy, points, centres):
    """Blocks of points, the nearest centre of each, and its squared distance, all in double precision."""
    centres = numpy.asarray(centres, dtype=numpy.float64)
    for first in range(0, len(points), BLOCK):
        block = points[first : first + BLOCK].astype(numpy.float64)
        distances = (centres**2).sum(axis=1) - 2.0 * block @ centres.T
        labels = distances.argmin(axis=1)
        nearest = distances[numpy.arange(len(block)), labels] + (block**2).sum(axis=1)
        yield block, labels, nearest


def cost_of(numpy, points, centres):
    """The sum of squared distances to the nearest of these centres."""
    return float(sum(nearest.sum() for _, _, nearest in assigned(numpy, points, centres)))


def expected(numpy, points, centres, iterations):
    """The cost after this many exact iterations from these centres."""
    for _ in range(iterations):
        sums, counts = numpy.zeros_like(centres), numpy.zeros(len(centres))
        for block, labels, _ in assigned(numpy, points, centres):
            one_hot = numpy.equal.outer(numpy.arange(len(centres)), labels)
            sums += one_hot.astype(numpy.float64) @ block
            counts += one_hot.sum(axis=1)
        # Like MLlib, which leaves a centre without points where it is.
        centres = numpy.where(counts[:, None] > 0, sums / numpy.maximum(counts, 1)[:, None], centres)
    return cost_of(numpy, points, centres)


if __name__ == "__main__":
    main()
